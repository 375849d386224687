package packages

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Key is a public key that a registry of npm's kind publishes at
// /-/npm/v1/keys. That one has expired is not looked at: what it has signed
// before stays signed, and when that was only the registry says.
type Key struct {
	ID     string `json:"keyid"`
	Type   string `json:"keytype"` // "ecdsa-sha2-nistp256"
	Public string `json:"key"`     // SubjectPublicKeyInfo in base64
}

// Signature is a registry's word that a package has an integrity hash.
type Signature struct {
	Key  string `json:"keyid"`
	Text string `json:"sig"` // ASN.1 in base64
}

// SignatureReport is what was fetched about one installation.
type SignatureReport struct {
	Keys     [][]Key `json:"keys"` // of each registry; nil where it publishes none
	Packages []struct {
		Name       string      `json:"name"`
		Version    string      `json:"version"`
		Signatures []Signature `json:"signatures"`
	} `json:"packages"`
}

// Judge checks every signature in a report, in JSON, against the hashes in the
// lock, which are those that npm has compared the tarballs with. registry is the
// index of a package's registry in the report's keys. An error means that a
// signature is wrong.
//
// The keys come from the same place as the packages. So a signature tells of a
// registry or a mirror whose content was changed, and not of one that lies
// throughout.
func Judge(report []byte, l *Lock, registry func(name string) int) (Signatures, error) {
	var r SignatureReport
	if err := json.Unmarshal(report, &r); err != nil {
		return Signatures{}, fmt.Errorf("read the registry's signatures: %w", err)
	}
	signed := map[[2]string][]Signature{}
	for _, p := range r.Packages {
		signed[[2]string{p.Name, p.Version}] = p.Signatures
	}
	var s Signatures
	var missing []string
	for _, p := range l.Packages {
		i := registry(p.Name)
		if p.Resolved == "" || i < 0 || i >= len(r.Keys) || r.Keys[i] == nil {
			continue
		}
		list := signed[[2]string{p.Name, p.Version}]
		if len(list) == 0 {
			missing = append(missing, p.Name+"@"+p.Version)
			if !slices.Contains(s.Missing, p.Name) {
				s.Missing = append(s.Missing, p.Name)
			}
			continue
		}
		for _, one := range list {
			if err := one.verify(r.Keys[i], &p); err != nil {
				return s, err
			}
		}
		s.Verified++
	}
	switch {
	case len(missing) > 0:
		s.State, s.Detail = PartlySigned, first5(missing)+" without a signature"
	case s.Verified == 0:
		s.State, s.Detail = Unsigned, "the registry publishes no keys"
	case s.Verified < l.fetched():
		s.State, s.Detail = PartlySigned, "some come from a registry that publishes no keys"
	default:
		s.State = Signed
	}
	return s, nil
}

// first5 is the beginning of a list, with the number of the others.
func first5(names []string) string {
	text := strings.Join(names[:min(5, len(names))], ", ")
	if more := len(names) - 5; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// fetched counts the packages with a tarball of their own.
func (l *Lock) fetched() (n int) {
	for _, p := range l.Packages {
		if p.Resolved != "" {
			n++
		}
	}
	return n
}

// verify checks one signature: ECDSA on P-256 with SHA-256 over
// "NAME@VERSION:INTEGRITY" (docs.npmjs.com, About ECDSA registry signatures).
func (s Signature) verify(keys []Key, p *Locked) error {
	wrong := func(why string) error {
		return fmt.Errorf("the registry's signature of %s@%s is wrong (%s): its content is not what was published, or the registry is not what it was", p.Name, p.Version, why)
	}
	for _, k := range keys {
		if k.ID != s.Key {
			continue
		}
		public, err := k.parse()
		if err != nil {
			return wrong(err.Error())
		}
		text, err := base64.StdEncoding.DecodeString(s.Text)
		if err != nil {
			return wrong("it is no base64")
		}
		sum := sha256.Sum256([]byte(p.Name + "@" + p.Version + ":" + p.Integrity))
		if !ecdsa.VerifyASN1(public, sum[:], text) {
			return wrong("it does not fit " + p.Integrity)
		}
		return nil
	}
	return wrong("the registry has no key " + s.Key)
}

// p256Info is what comes before the point in the SubjectPublicKeyInfo of a key on
// P-256 (RFC 5480, 2.1.1.1): all that crypto/x509 would be needed for.
const p256Info = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"

func (k Key) parse() (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(k.Public)
	if err != nil {
		return nil, fmt.Errorf("the key %s is no base64", k.ID)
	}
	point, ok := strings.CutPrefix(string(der), p256Info)
	if !ok {
		return nil, fmt.Errorf("the key %s is of the type %s, which is not known here", k.ID, k.Type)
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(point))
}
