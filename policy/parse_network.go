package policy

import "errors"

func (d *decoder) networkMode(v value) {
	word(d, v, &d.p.Network.Mode, `"filtered" or "none"`, NetworkFiltered, NetworkNone)
}

func (d *decoder) ech(v value) {
	word(d, v, &d.p.Network.ECH, `"deny" or "allow"`, ECHDeny, ECHAllow)
}

// rules reads a list of rules, each with the line that it stands in.
func (d *decoder) rules(to *[]Rule) func(value) {
	return func(v value) {
		var texts []string
		if !d.read(v, &texts, `a list of strings, such as ["api.github.com:443"]`) {
			return
		}
		lines := d.elementLines(d.line(v.prim), len(texts))
		for i, text := range texts {
			r, err := ParseRule(text, Origin{File: d.name, Line: lines[i]})
			if wrong := (*Error)(nil); errors.As(err, &wrong) {
				d.errs = append(d.errs, wrong)
				continue
			}
			*to = append(*to, r)
		}
	}
}

func (d *decoder) proxy(v value) {
	var s string
	if !d.read(v, &s, `a string, such as "http://proxy.example:3128"`) {
		return
	}
	p, err := ParseProxy(s)
	if err != nil {
		d.fail(d.line(v.prim), "network.proxy: %v", err)
		return
	}
	d.p.Network.Proxy = p
}
