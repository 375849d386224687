package policy

import (
	"regexp"
	"strings"
	"testing"
)

// advised are the texts that an error says to write.
func advised(err error) (list []string) {
	for _, m := range regexp.MustCompile(`(?:write|such as) (\S+)((?: or \S+)*)`).FindAllStringSubmatch(err.Error(), -1) {
		for _, form := range append([]string{m[1]}, strings.Split(m[2], " or ")...) {
			form = strings.TrimRight(form, ".,;")
			if strings.Contains(form, ":") { // or it is not about a whole rule
				list = append(list, form)
			}
		}
	}
	return list
}

// What an error advises is a rule: words in capital letters aside, as it stands.
func TestAdvice(t *testing.T) {
	texts := []string{
		"*", "443", "tcp://db.example.com", "tcp://*", "http://localhost:3000", "http://localhost", "127.1:80", "127.1", "tcp://127.1",
		"localhost", "::", "0", "0:80", "::ffff:1.2.3.4", "[::1.2.3.4]:80", "10.1.2.3/16", "10.1.2.3/7:80", "http://10.1.2.3/16:80",
		"https://user:secret@api.example.com/", "http://[::1", "[10.0.0.1]", "[10.0.0.0/8]:80", "*.com", "https://*.github.io/x",
		"ftp://ftp.example.com", "udp://a.example", "10.0.0.1/33", "[a.example]:443", "a.example:443:443", "a.example:80-70",
	}
	for _, c := range refusedRules {
		texts = append(texts, c.text)
	}
	count := 0
	for _, text := range texts {
		_, err := ParseRule(text, Origin{})
		if err == nil {
			t.Errorf("%q is a rule", text)
			continue
		}
		_, said, _ := strings.Cut(err.Error(), `": `) // without what was written
		for _, form := range advised(errorText(said)) {
			count++
			if r, err := ParseRule(example(form), Origin{}); err != nil {
				t.Errorf("%q: %s\nadvises %q: %v", text, said, form, err)
			} else if strings.HasPrefix(text, rawScheme) && !r.Raw && !strings.Contains(text, "https:") && form != "*.example.com:443" {
				t.Errorf("%q: %s\nadvises %q, which lets less pass", text, said, form)
			}
		}
	}
	if count < 60 {
		t.Errorf("only %d rules are advised", count)
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestAdviceForProxies(t *testing.T) {
	count := 0
	for _, url := range []string{
		"", "proxy.example:3128", "https://proxy.example:3128", "http://", "http://proxy.example", "http://localhost", "http://10.0.0.1", "http://[::1]",
		"http://::1", "http://::1:3128", "http://127.1", "http://127.1:3128", "http://0.0.0.0:80", "http://10.0.0.1:80-81", "http://[10.0.0.1]:80",
		"http://proxy.example:80:80", "http://ann:hunter@proxy.example", "http://[::1", "http://3128", "http://a.example:*",
	} {
		_, err := ParseProxy(url)
		if err == nil {
			t.Errorf("%q is a proxy", url)
			continue
		}
		forms := advised(err)
		if len(forms) == 0 && !strings.Contains(err.Error(), "one number") {
			t.Errorf("%q: %v: no advice", url, err)
		}
		for _, form := range forms {
			count++
			if _, err2 := ParseProxy(example(form)); err2 != nil {
				t.Errorf("%q: %v\nadvises %q: %v", url, err, form, err2)
			}
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("%q: %v tells the password", url, err)
		}
	}
	if count < 15 {
		t.Errorf("only %d proxies are advised", count)
	}
}
