package netfilter

import "net/netip"

// forbidden says why an address must not be dialled for a name; "" if it may.
func forbidden(a netip.Addr, own []netip.Addr) string {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return "it is not an address of the Internet"
	}
	for _, o := range own {
		if a == o {
			return "it is an address of this machine"
		}
	}
	return ""
}
