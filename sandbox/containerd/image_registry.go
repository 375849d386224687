package containerd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// RegistryError says why a registry has not given what it was asked for. Of what
// was sent to it and of addresses that it sends us to, where secrets are, nothing is
// in it.
type RegistryError struct {
	Registry string // as references name it
	Reason   string // what has happened
	Fix      string // what to look at, and what to type
	Err      error  // what it was found by; not shown
}

func (e *RegistryError) Error() string {
	s := e.Registry + " " + e.Reason
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap lets errors.Is see what it was found by.
func (e *RegistryError) Unwrap() error { return e.Err }

// silentError is a registry that has said nothing for too long.
type silentError struct {
	said string // has it said anything before
	time time.Duration
}

func (e *silentError) Error() string { return fmt.Sprintf("has %s for %s", e.said, e.time) }

// registry is one registry, which alone is told the credentials for it: no other that
// it sends us to.
type registry struct {
	name     string // as references have it
	host     string // who answers for it
	hosts    *hosts
	resolver remotes.Resolver
	auth     docker.Authorizer

	mu      sync.Mutex
	secrets []string // that it was told
}

func newRegistry(name string, credentials Credentials) *registry {
	host, err := docker.DefaultHost(name)
	if err != nil {
		host = name
	}
	r := &registry{name: name, host: host, hosts: newHosts(host)}
	r.resolver, r.auth = resolverOf(r.hosts, func(asks string) (string, string, error) {
		if credentials == nil || asks != host && asks != name {
			return "", "", nil
		}
		user, secret, err := credentials(name)
		if err == nil && secret != "" {
			r.mu.Lock()
			r.secrets = append(r.secrets, secret, base64.StdEncoding.EncodeToString([]byte(user+":"+secret)))
			r.mu.Unlock()
		}
		return user, secret, err
	})
	return r
}

// knows reports whether the registry was told who asks.
func (r *registry) knows() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.secrets) > 0
}

// explain is why the registry has not given the image, or part of it, of a reference,
// as a [*RegistryError] where it is about the registry.
func (r *registry) explain(ctx context.Context, ref string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, new(*RegistryError)) {
		return err
	}
	e := &RegistryError{Registry: r.name, Err: err}
	again := "then type: mcpbox image pull " + ref
	answer := remoteerrors.ErrUnexpectedStatus{}
	silent := (*silentError)(nil)
	switch code := 0; {
	case errors.As(err, &silent):
		e.Reason, e.Fix = silent.Error(), r.look(r.host)+"; "+again
	case errors.As(err, &answer):
		code = answer.StatusCode
		fallthrough
	case errors.Is(err, docker.ErrInvalidAuthorization):
		switch {
		case code == 0 || code == http.StatusUnauthorized:
			e.Reason, e.Fix = r.wantsLogin(again)
		case code == http.StatusForbidden:
			e.Reason, e.Fix = r.wantsLogin(again)
			e.Reason = "forbids it" + r.said(err)
		case code == http.StatusTooManyRequests:
			e.Reason, e.Fix = "was asked too often from here", "wait, or, as it may allow more to whoever is logged in: "+r.logIn()+"; "+again
		default:
			e.Reason, e.Fix = fmt.Sprintf("answers %q%s, which is its own trouble as a rule", cut(answer.Status), r.said(err)), r.look(r.host)+"; "+again
		}
	case errdefs.IsNotFound(err) && strings.Contains(ref, "@"):
		e.Reason = "does not have, or not all of, " + ref
		e.Fix = "whoever publishes it has to push it again, or you take another: look at its tags"
	case errdefs.IsNotFound(err):
		e.Reason, e.Fix = r.lacks(ctx, ref)
	default:
		var reached bool
		if e.Reason, e.Fix, reached = r.unreached(err, ref); reached {
			return err // by somebody else's fault
		}
	}
	return e
}

// wantsLogin is what a registry means that does not let us in. Most do not tell
// whoever is not logged in which repositories there are.
func (r *registry) wantsLogin(again string) (reason, fix string) {
	if r.knows() {
		return "refuses the login that is kept for it, or has no such repository for that user", "look at the name; " + r.logIn() + "; " + again
	}
	return "asks for a login, as registries also do where there is no such repository", "look at the name; " + r.logIn() + "; " + again
}

func (r *registry) logIn() string {
	anew := ""
	if r.knows() {
		anew = "anew or as another user, "
	}
	return "to log in, " + anew + "type: " + loginCommand(r.name)
}

// look is what to type to see what a host answers. The host may be one that the registry
// has chosen, and nearly all is allowed in what stands for one in an address: what a shell
// would not take for a name is in no command.
func (r *registry) look(host string) string {
	if !isPlainHost(host) {
		return "ask whoever runs " + r.name + " where that sends you"
	}
	scheme := "https"
	if r.hosts.plain {
		scheme = "http"
	}
	return fmt.Sprintf("to see what it answers, type: curl -I %s://%s/v2/", scheme, host)
}

// loginCommand is what to type so that [DockerCredentials] finds a login, with the
// program for it that there is.
func loginCommand(registry string) string {
	for _, c := range []struct{ program, command string }{
		{"docker", "docker login"},
		{"nerdctl", "nerdctl login"},
		{"podman", "podman login --authfile ~/.docker/config.json"},
		{"skopeo", "skopeo login --authfile ~/.docker/config.json"},
	} {
		if _, err := exec.LookPath(c.program); err == nil {
			return c.command + " " + registry
		}
	}
	return "docker login " + registry
}

// said is what the registry itself says of an error, as far as it may be shown.
func (r *registry) said(err error) string {
	var all docker.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		return ""
	}
	text := ""
	switch one := all[0].(type) {
	case docker.Error:
		text = one.Message
	case docker.ErrorCode:
		text = one.Message()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, secret := range r.secrets {
		if strings.Contains(text, secret) {
			return ""
		}
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", cut(text))
}
