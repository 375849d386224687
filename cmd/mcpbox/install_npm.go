package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/policy"
)

// npmFiles is where a box has npm's configuration: on no file system that it
// could write to.
const npmFiles = "/etc/mcpbox"

// npm installs the request with npm: first the packages, without running any of
// their code, then, of those that the policy names, the install scripts, which
// get neither tokens nor a say in what was installed.
func (in *installation) npm(ctx context.Context, st *packages.Staging) (*installed, error) {
	if err := npmProgram(in.request.Runner); err != nil {
		return nil, err
	}
	config, err := in.npmConfig(ctx)
	if err != nil {
		return nil, err
	}
	in.say("installing %s from %s, once", in.request, config.RegistryOf(in.request.Packages[0].Name))
	network, err := in.registryRules(ctx, config.Registries(), config.Proxy)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(st.Dir, "root")
	if err := in.writeManifest(root); err != nil {
		return nil, err
	}
	command := "install"
	if in.again != nil {
		command = "ci"
	}
	cache := filepath.Join(root, ".cache")
	fetch := in.boxed(root, network, "npm", command, "--ignore-scripts")
	fetch.files, fetch.env = npmSetup(config, cache, true)
	o, err := fetch.run(ctx)
	if err != nil {
		return nil, err
	}
	if o.exit.Code != 0 {
		return nil, in.explained("npm", o)
	}
	lock, err := packages.ReadLock(filepath.Join(root, packages.NPMLockName))
	if err != nil {
		return nil, err
	}
	if in.again != nil && lock.Digest(nil) != in.again.Digest(nil) {
		return nil, fmt.Errorf("what npm has installed is not what the pin says")
	}
	main := lock.Top(in.request.Packages[0].Name)
	bin, err := lock.Program(in.request)
	if err != nil {
		return nil, err
	}
	e := &packages.Entry{
		Kind: packages.NPM, Name: main.Name, Version: main.Version, Request: in.request, Tarball: main.Integrity,
		Origin: lock.Hosts(), Asked: addresses(config.Registries()), Installed: time.Now().UTC(), Dependencies: len(lock.Packages) - 1, Scripts: lock.Scripts(),
	}
	if e.Signatures, err = in.signatures(ctx, config, network, lock, root); err != nil {
		return nil, err
	}
	if left := in.unsigned(e); len(left) > 0 && in.again == nil { // a pin has the hashes
		return nil, fmt.Errorf("the registry publishes keys, and has not signed %s: it may not be what was published there; "+
			"if that is as it should be, write [packages] unsigned = [%s] into %s", strings.Join(left, ", "), quotedList(left), in.policyFile)
	}
	if err := os.RemoveAll(cache); err != nil {
		return nil, err
	}
	modules := filepath.Join(root, "node_modules")
	if e.Ran, err = in.runScripts(ctx, config, network, lock, root); err != nil {
		return nil, err
	}
	if e.Bytes, err = packages.CheckTree(modules, in.limit); err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Join(root, bin)); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s@%s says that its program is %s, and does not have that", main.Name, main.Version, bin)
	}
	e.Integrity = lock.Digest(e.Ran)
	// What the box could have written beside is no part of it.
	if err := keepOnly(root, "node_modules"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(root, packages.LockName), lock.Data, 0o600); err != nil {
		return nil, err
	}
	if err := st.Publish(root, e, bin); err != nil {
		return nil, err
	}
	return &installed{e, lock, bin}, nil
}

// npmConfig asks npm for its configuration. It is the user's own npm, with the
// user's own files, started where no project is.
func (in *installation) npmConfig(ctx context.Context) (*packages.NPMConfig, error) {
	cmd := exec.CommandContext(ctx, "npm", "config", "list", "--json")
	cmd.Dir = "/"
	settings, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("npm config list: %w", err)
	}
	config, err := packages.ReadNPMConfig(settings, os.Environ())
	if err != nil {
		return nil, err
	}
	if in.request.Registry != "" {
		config.Registry = in.request.Registry
	}
	for _, value := range config.Auth {
		in.secrets = append(in.secrets, value)
	}
	return config, nil
}

// npmSetup are the files and variables of a box in which npm runs.
func npmSetup(config *packages.NPMConfig, cache string, withAuth bool) (files, env map[string]string) {
	files = fileNames(npmFiles, config.Files(withAuth))
	files[filepath.Join(npmFiles, "npmrc")] = config.Text(npmFiles, cache, withAuth)
	env = map[string]string{
		"npm_config_userconfig": filepath.Join(npmFiles, "npmrc"), "npm_config_globalconfig": filepath.Join(npmFiles, "none"),
		// A dependency that a package takes from git is cloned, and prepared by
		// another npm in the clone, whose .npmrc names programs for npm to start
		// whatever is said of scripts. The environment is stronger than that file.
		// Versions of npm before 11.10 know only the first.
		"npm_config_git": "/nonexistent", "npm_config_allow_git": "none",
		"npm_config_allow_file": "none", "npm_config_allow_directory": "none",
		// What that other npm, were there one, would give to its own children.
		"npm_config_node_options": "--no-deprecation",
	}
	if len(config.CA) > 0 {
		env["NODE_EXTRA_CA_CERTS"] = filepath.Join(npmFiles, "ca.pem")
	}
	return files, env
}

// writeManifest makes the project that npm installs.
func (in *installation) writeManifest(root string) error {
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	deps := map[string]string{}
	for _, p := range in.request.Packages {
		if deps[p.Name] = p.Version; p.Version == "" {
			deps[p.Name] = "latest"
		}
	}
	data, err := json.Marshal(map[string]any{"name": "mcpbox-package", "version": "1.0.0", "private": true, "dependencies": deps})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "package.json"), data, 0o600); err != nil {
		return err
	}
	if in.again == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(root, packages.NPMLockName), in.again.Data, 0o600)
}

// keepOnly removes what is in dir but for one name.
func keepOnly(dir, name string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name() != name {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// runScripts runs the install scripts of the packages that the policy names, or
// that the pin says. They get no credentials.
func (in *installation) runScripts(ctx context.Context, config *packages.NPMConfig, network policy.Network, lock *packages.Lock, root string) ([]string, error) {
	names := in.runs(lock.Scripts())
	if len(names) == 0 {
		return nil, nil
	}
	if err := quarantine.Check(in.dirs.State, in.server); err != nil {
		return nil, err
	}
	in.say("running the install scripts of %s", strings.Join(names, ", "))
	build := in.boxed(root, network, append([]string{"npm", "rebuild", "--ignore-scripts=false", "--foreground-scripts"}, names...)...)
	build.files, build.env = npmSetup(config, filepath.Join(root, ".cache"), false)
	o, err := build.run(ctx)
	if err != nil {
		return nil, err
	}
	if o.exit.Code != 0 {
		return nil, in.explained("the install scripts of "+strings.Join(names, ", "), o)
	}
	return names, nil
}

// registryRules is what an installation reaches: the registries, and what the
// policy adds. A registry of the user's own choice may be at an address that no
// name leads to otherwise: of this machine, or of a private network.
func (in *installation) registryRules(ctx context.Context, registries []*url.URL, proxyURL string) (policy.Network, error) {
	n := policy.Network{Allow: slices.Clone(in.rules.Allow)}
	for _, u := range registries {
		rules, err := registryRule(ctx, u)
		if err != nil {
			return n, err
		}
		n.Allow = append(n.Allow, rules...)
	}
	if proxyURL != "" {
		proxy, err := policy.ParseProxy(proxyURL)
		if err != nil {
			return n, fmt.Errorf("the configuration of the registry's client: the proxy: %w", err)
		}
		n.Proxy = proxy
	}
	return n, nil
}

func registryRule(ctx context.Context, u *url.URL) ([]policy.Rule, error) {
	origin := policy.Origin{Flag: "the registry's address"}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	var texts []string
	host := u.Hostname()
	switch addr, err := netip.ParseAddr(host); {
	case err == nil:
		texts = []string{net.JoinHostPort(addr.String(), port)}
	case host == "localhost":
		texts = []string{"127.0.0.1:" + port, "[::1]:" + port}
	default:
		texts = []string{host + ":" + port}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		list, err := (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, "ip", host)
		if err != nil && ctx.Err() != nil {
			return nil, errors.New("the registry's name " + host + " is not answered within 5 seconds")
		}
		for _, a := range list {
			if a = a.Unmap(); (a.IsPrivate() || a.IsLoopback()) && !policy.IsMetadata(a) {
				texts = append(texts, net.JoinHostPort(a.String(), port))
			}
		}
	}
	var rules []policy.Rule
	for _, text := range texts {
		r, err := policy.ParseRule(text, origin)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}
