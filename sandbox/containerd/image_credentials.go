package containerd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// DockerCredentials reads what "docker login" has kept, in config.json of
// DOCKER_CONFIG or ~/.docker: names and passwords themselves, or the name of the
// program that keeps them (docker-credential-NAME), which is asked. Each registry
// gets its own and no other.
func DockerCredentials(host string) (user, secret string, err error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", "", nil
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	var config dockerConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	user, secret, err = config.find(host)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	return user, secret, nil
}

// dockerConfig is the part of docker's config.json that is about registries.
type dockerConfig struct {
	Auths map[string]struct {
		Auth          string `json:"auth"` // base64 of name:password
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
	} `json:"auths"`
	Store   string            `json:"credsStore"`
	Helpers map[string]string `json:"credHelpers"`
}

// dockerHub is the key for docker.io.
const dockerHub = "https://index.docker.io/v1/"

// keys are the names that a registry may have in the file.
func keys(host string) []string {
	if host == "docker.io" {
		return []string{dockerHub, "index.docker.io", "docker.io"}
	}
	return []string{host, "https://" + host, "https://" + host + "/", "https://" + host + "/v1/", "https://" + host + "/v2/"}
}

func (c *dockerConfig) find(host string) (user, secret string, err error) {
	for _, key := range keys(host) {
		helper, of := c.Helpers[key]
		if of {
			return askHelper(helper, key)
		}
	}
	if c.Store != "" {
		return askHelper(c.Store, keys(host)[0])
	}
	for _, key := range keys(host) {
		a, ok := c.Auths[key]
		switch {
		case !ok:
			continue
		case a.IdentityToken != "":
			return "", a.IdentityToken, nil // no name: it is a token to refresh with
		case a.Auth == "":
			return a.Username, a.Password, nil
		}
		plain, err := base64.StdEncoding.DecodeString(a.Auth)
		name, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
		if err != nil || !ok {
			return "", "", fmt.Errorf("what it has for %s cannot be read; type: docker login %s", key, host)
		}
		return name, password, nil
	}
	return "", "", nil
}

// helperTimeout is how long a program that keeps passwords may take: it may ask
// for one to unlock them.
const helperTimeout = 30 * time.Second

// askHelper asks a program that keeps passwords. One that has none for this
// registry fails, and says so on its standard output.
func askHelper(name, key string) (user, secret string, err error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return "", "", fmt.Errorf("docker-credential-%q is no name of a program", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	cmd.Stdin = strings.NewReader(key)
	out, err := cmd.Output()
	if err != nil {
		if bytes.Contains(out, []byte("credentials not found")) {
			return "", "", nil
		}
		return "", "", fmt.Errorf("docker-credential-%s: %w", name, err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", "", fmt.Errorf("docker-credential-%s: its answer is no JSON", name)
	}
	if answer.Username == "<token>" {
		answer.Username = ""
	}
	return answer.Username, answer.Secret, nil
}
