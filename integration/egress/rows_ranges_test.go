package egress

// addressRange is an address that a name must not lead to.
type addressRange struct {
	class   string
	address string
	control string // n/a: why it cannot be reached anyway
}

// name is one that resolves to the address.
func (r addressRange) name() string { return r.class + ".range.example.com" }

// ranges has one address of each kind that is no public machine's.
var ranges = []addressRange{
	{"this", "0.0.0.0", ""},
	{"this-8", "0.1.2.3", "n/a: the kernel routes none of them"},
	{"private-10", "10.1.2.3", ""},
	{"carrier", "100.64.0.9", ""},
	{"loopback", "127.0.0.1", ""},
	{"loopback-8", "127.9.9.9", "n/a: nobody listens there"},
	{"link", "169.254.7.7", ""},
	{"metadata", "169.254.169.254", ""},
	{"metadata-ecs", "169.254.170.2", ""},
	{"metadata-alibaba", "100.100.100.200", ""},
	{"metadata-azure", "168.63.129.16", ""},
	{"private-172", "172.16.1.1", ""},
	{"private-172-end", "172.31.255.254", ""},
	{"protocol", "192.0.0.192", ""},
	{"private-192", "192.168.1.1", ""},
	{"benchmark", "198.18.0.1", ""},
	{"benchmark-end", "198.19.255.254", ""},
	{"multicast", "224.0.0.1", "n/a: TCP has no groups"},
	{"reserved", "240.0.0.1", ""},
	{"broadcast", "255.255.255.255", "n/a: TCP has no broadcast"},
	{"lan", hostLAN, ""},
	{"card", hostPublic, ""},
	{"routed", hostRouted, ""},
	{"any-6", "::", ""},
	{"loopback-6", "::1", ""},
	{"mapped", "::ffff:10.1.2.3", ""},
	{"mapped-loopback", "::ffff:127.0.0.1", ""},
	{"compatible", "::10.1.2.3", ""},
	{"nat64", "64:ff9b::10.1.2.3", ""},
	{"nat64-metadata", "64:ff9b::169.254.169.254", ""},
	{"nat64-local", "64:ff9b:1::10.1.2.3", ""},
	{"six-to-four", "2002:a01:203::1", ""},
	{"teredo", "2001:0:a01:203::1", ""},
	{"unique-local", "fd12:3456::1", ""},
	{"metadata-6", "fd00:ec2::254", ""},
	{"link-6", "fe80::1", "n/a: it needs a zone"},
	{"site-6", "fec0::1", ""},
	{"multicast-6", "ff0e::1", "n/a: TCP has no groups"},
	{"card-6", hostV6, ""},
}

// rangeRows are allowed names that lead to such addresses.
func rangeRows() (rows []row) {
	for _, r := range ranges {
		control := r.control
		if control == "" {
			control = "~HTTP/1.1 http"
		}
		allow := ""
		switch r.class {
		case "this", "this-8", "multicast", "reserved", "broadcast", "any-6", "link-6", "multicast-6",
			"metadata", "metadata-ecs", "metadata-alibaba", "metadata-azure", "metadata-6", "protocol",
			"compatible", "nat64", "nat64-metadata", "nat64-local", "six-to-four", "teredo":
			// Nobody should want them, or not in this form.
		default:
			allow = " allow " + bracketed(r.address) + ":80"
		}
		rows = append(rows, row{
			id: "E-3", tries: "an allowed name that leads to " + r.class, rules: []string{r.name() + ":80"},
			run:  []string{"curl", "-sS", "--max-time", "9", "http://" + r.name() + "/{secret}"},
			bare: control, boxed: cut,
			heard:   []string{"dns " + r.name()},
			refused: []string{"refused tcp " + r.name() + ":80" + allow},
		})
	}
	return rows
}
