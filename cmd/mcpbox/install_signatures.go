package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/policy"
)

//go:embed signatures.mjs
var signaturesScript string

// signatures checks the registry's signatures of all that is in a lock. "npm
// audit signatures" cannot do that here: it wants to reach sigstore.dev first.
// What is fetched for it is fetched in a box, and judged here.
func (in *installation) signatures(ctx context.Context, config *packages.NPMConfig, network policy.Network, lock *packages.Lock, root string) (packages.Signatures, error) {
	registries := config.Registries()
	indexOf := func(name string) int {
		u, err := packages.ParseRegistry(config.RegistryOf(name))
		if err != nil {
			return -1
		}
		return slices.IndexFunc(registries, func(r *url.URL) bool { return r.String() == u.String() })
	}
	type registry struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		TLS     map[string]any    `json:"tls,omitempty"`
	}
	type one struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		Registry int    `json:"registry"`
	}
	var job struct {
		Registries []registry `json:"registries"`
		Packages   []one      `json:"packages"`
	}
	for _, u := range registries {
		r := registry{URL: u.String(), Headers: map[string]string{}, TLS: map[string]any{}}
		if header := config.Authorization(u); header != "" {
			r.Headers["authorization"] = header
		}
		if config.Insecure {
			r.TLS["rejectUnauthorized"] = false
		}
		for key, name := range map[string]string{"certfile": "cert", "keyfile": "key"} {
			if data := config.Cert(u, key); data != nil {
				r.TLS[name] = string(data)
			}
		}
		job.Registries = append(job.Registries, r)
	}
	for _, p := range lock.Packages {
		if i := indexOf(p.Name); i >= 0 && p.Resolved != "" {
			job.Packages = append(job.Packages, one{p.Name, p.Version, i})
		}
	}
	data, err := json.Marshal(job)
	if err != nil {
		return packages.Signatures{}, err
	}
	fetch := in.boxed(root, network, "node", filepath.Join(npmFiles, "signatures.mjs"), filepath.Join(npmFiles, "job.json"))
	fetch.files, fetch.env = npmSetup(config, filepath.Join(root, ".cache"), false)
	fetch.files[filepath.Join(npmFiles, "signatures.mjs")] = signaturesScript
	fetch.files[filepath.Join(npmFiles, "job.json")] = string(data)
	fetch.output = 64 << 20
	o, err := fetch.run(ctx)
	if err != nil {
		return packages.Signatures{}, err
	}
	if o.exit.Code != 0 {
		return packages.Signatures{}, in.explained("asking for the registry's signatures", o)
	}
	return packages.Judge([]byte(o.out), lock, indexOf)
}
