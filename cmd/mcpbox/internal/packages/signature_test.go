package packages

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	public := func(k *ecdsa.PrivateKey) string {
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	sign := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		sig, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
		return base64.StdEncoding.EncodeToString(sig)
	}
	lock, err := parseLock([]byte(twoPrograms))
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"@s/main@1.0.0": sign("@s/main@1.0.0:sha512-aa=="), "alias@2.0.0": sign("alias@2.0.0:sha512-bb==")}
	rotated := []Key{{ID: "old", Public: public(other)}, {ID: "k", Public: public(key)}}
	for _, c := range []struct {
		name   string
		key    any // of the registry, or all its keys; nil for none
		id     string
		change map[string]string // of the signatures; "" takes one away
		state  string
		want   string // in the error
	}{
		{"all", public(key), "k", nil, Signed, ""},
		{"no keys", nil, "k", nil, Unsigned, ""},
		{"one without", public(key), "k", map[string]string{"alias@2.0.0": ""}, PartlySigned, ""},
		{"of another hash", public(key), "k", map[string]string{"alias@2.0.0": sign("alias@2.0.0:sha512-other==")}, "", "signature of alias@2.0.0 is wrong"},
		{"of another package", public(key), "k", map[string]string{"alias@2.0.0": good["@s/main@1.0.0"]}, "", "signature of alias@2.0.0 is wrong"},
		{"no base64", public(key), "k", map[string]string{"alias@2.0.0": "!"}, "", "no base64"},
		{"of the newer of two keys", rotated, "", nil, Signed, ""},
		{"of a key that is not published any more", rotated[:1], "", nil, "", "has no key k"},
		{"an unknown key", public(key), "another", nil, "", "has no key k"},
		{"a key of another kind", public(other), "k", nil, "", "not known here"},
		{"a key that is none", "AAAA", "k", nil, "", "not known here"},
	} {
		report := map[string]any{"keys": []any{nil}}
		if c.key != nil {
			keys, several := c.key.([]Key)
			if !several {
				keys = []Key{{ID: c.id, Type: "ecdsa", Public: c.key.(string)}}
			}
			report["keys"] = []any{keys}
		}
		var list []any
		for id, sig := range good {
			if changed, ok := c.change[id]; ok {
				sig = changed
			}
			i := strings.LastIndexByte(id, '@')
			one := map[string]any{"name": id[:i], "version": id[i+1:], "signatures": []Signature{}}
			if sig != "" {
				one["signatures"] = []Signature{{Key: "k", Text: sig}}
			}
			list = append(list, one)
		}
		report["packages"] = list
		data, _ := json.Marshal(report)
		s, err := Judge(data, lock, func(string) int { return 0 })
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.want == "" && (err != nil || s.State != c.state || (s.State == PartlySigned) != (strings.Join(s.Missing, " ") == "alias")) {
			t.Errorf("%s: %+v, %v; want %s %s", c.name, s, err, c.state, c.want)
		}
	}
}
