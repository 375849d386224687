package policy

// Proxy is an HTTP proxy of the host's, through which connections are made with
// CONNECT (RFC 9110, 9.3.6).
type Proxy struct {
	Host           string // a canonical name, or an address without brackets
	Port           uint16
	User, Password string // of Basic authentication (RFC 7617); both "" for none
}
