package netfilter

// proto is a family of protocols, told apart by the first bytes that a client
// sends.
type proto int

const (
	protoOther proto = iota // none that carries a name we could check
	protoTLS
	protoHTTP // HTTP/1, or HTTP/2 without TLS, which forwardRequests refuses
)

// sniff tells by data, the first bytes of a connection, what it speaks. errShort
// means that they are too few to tell, and a *refusal that the connection
// must not go on whatever follows: an SSLv2 hello.
//
// A protocol is not vouched for: what looks like TLS or HTTP is left to
// parseHello and forwardRequests, which read the same bytes again from their
// beginning.
func sniff(data []byte) (proto, error) {
	switch {
	case len(data) == 0:
		return protoOther, errShort
	case looksTLS(data):
		return protoTLS, nil
	case data[0]&0x80 != 0 && len(data) < 3:
		return protoOther, errShort
	}
	if err := refuseSSL2(data); err != nil {
		return protoOther, err
	}
	for i, c := range data {
		switch {
		case c == ' ' && i > 0:
			return protoHTTP, nil
		case !isMethodByte(c), i == maxMethod:
			return protoOther, nil
		}
	}
	return protoOther, errShort
}

// maxMethod is the length of the longest HTTP method that is let through. The
// longest registered one, UPDATEREDIRECTREF, has 17 letters.
const maxMethod = 24

// isMethodByte is narrower than the token of RFC 9110 section 9.1: every
// registered method is made of these, and what else begins with a word, such
// as SSH-2.0, is not taken for HTTP.
func isMethodByte(c byte) bool { return 'A' <= c && c <= 'Z' || c == '-' }
