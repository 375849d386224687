package policy

// Network is what a program reaches beyond its own box. The zero value is a
// filter that lets nothing pass, and says what was tried.
type Network struct {
	Mode  NetworkMode // "" means [NetworkFiltered]
	Allow []Rule      // what passes; anything else is refused
	Proxy *Proxy      // the way out of this host; nil: directly
	ECH   ECHMode     // "" means [ECHDeny]
}

// NetworkMode says how a box is connected.
type NetworkMode string

const (
	// NetworkFiltered: what the rules allow, through mcpbox. Everything else is
	// refused and reported.
	NetworkFiltered NetworkMode = "filtered"
	// NetworkNone: a loopback interface, and not even names are answered.
	NetworkNone NetworkMode = "none"
)

// ECHMode says what becomes of a TLS connection whose server name may be
// another one than it says: encrypted ClientHello, RFC 9849.
type ECHMode string

const (
	// ECHDeny refuses it.
	ECHDeny ECHMode = "deny"
	// ECHAllow checks the name that can be read, and lets the rest pass.
	// Browsers send the extension always, with nothing in it.
	ECHAllow ECHMode = "allow"
)
