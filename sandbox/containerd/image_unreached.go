package containerd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// notAskedError is why we ask nobody.
type notAskedError string

func (e notAskedError) Error() string { return string(e) }

// unreached says what has come between a registry, or a host that it sends us to, and
// us. reached is that it was nothing of the kind.
func (r *registry) unreached(err error, ref string) (reason, fix string, reached bool) {
	var notAsked notAskedError
	if errors.As(err, &notAsked) {
		return "is not asked: " + string(notAsked), "", false
	}
	var request *url.Error
	if !errors.As(err, &request) {
		return "", "", true
	}
	again := "then type: mcpbox image pull " + ref
	at := r.host
	if u, err := url.Parse(request.URL); err == nil && u.Host != "" {
		at = u.Host
	}
	who, where := "", ""
	switch at {
	case r.name:
	case r.host:
		where = " at " + shownHost(at)
	default:
		who = "sends us to " + shownHost(at) + ", which "
	}
	if proxy := r.hosts.usedProxies(); len(proxy) > 0 {
		where += " by way of the proxy " + strings.Join(proxy, ", ")
	}
	cannot := func(why, fix string) (string, string, bool) {
		return who + "cannot be reached" + where + ": " + why, fix + "; " + again, false
	}
	var dns *net.DNSError
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return cannot("the proxy does not answer ("+cause(op.Err)+")", "look at HTTPS_PROXY and NO_PROXY")
	case errors.As(err, &dns) && dns.IsNotFound:
		return cannot("there is no host of the name "+shownHost(dns.Name), "look at the name")
	case errors.As(err, &dns):
		return cannot("the name "+shownHost(dns.Name)+" cannot be looked up ("+dns.Err+")", r.look(at))
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return who + "does not speak TLS" + where + ", without which only registries of this machine (localhost) are asked",
			fmt.Sprintf("if you trust the network between, type: skopeo copy --src-tls-verify=false docker://%s docker-archive:image.tar:%[1]s; mcpbox image import image.tar", ref), false
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return who + "has a certificate" + where + " of an authority that this machine does not know",
			"if it is your company's, have its certificate in a file, and type: SSL_CERT_FILE=/path/of/that/file.pem mcpbox image pull " + ref, false
	case errors.As(err, &certificate):
		return who + "has a certificate" + where + " that does not hold: " + cause(certificate.Err), "look at the name, and at the clock of this machine; " + again, false
	case errors.Is(err, unix.ECONNREFUSED):
		return cannot("nobody listens there (connection refused)", r.look(at))
	case request.Timeout():
		return cannot("it does not answer", r.look(at))
	}
	return cannot(cause(request.Err), r.look(at))
}

// isPlainHost reports whether a host, with or without a port, has nothing in it that has
// a meaning to a shell.
func isPlainHost(host string) bool {
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_[]-") == ""
}

// shownHost is a host in a sentence of ours, of which a strange one is no part.
func shownHost(host string) string {
	if isPlainHost(host) {
		return cut(host)
	}
	return fmt.Sprintf("%q", cut(host))
}

// cause is the innermost of an error's reasons, without the addresses around it. Unless
// it is the kernel's, some of it may be the other side's words, such as the names in a
// certificate: these do not pass for ours.
func cause(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	if errno, ok := err.(unix.Errno); ok {
		return errno.Error()
	}
	if text := err.Error(); !strings.Contains(text, "://") {
		return fmt.Sprintf("%q", cut(text))
	}
	return "it answers what cannot be understood"
}

// usedProxies lists the user's proxies that were asked.
func (h *hosts) usedProxies() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for address := range h.proxies {
		list = append(list, address)
	}
	slices.Sort(list)
	return list
}
