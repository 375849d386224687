package bridge

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestQuick(t *testing.T) {
	s := newScanner()
	for _, l := range []string{`{}`, `{"a":1,"A":2}`, `{"a":[1,2,{"b":"\u00e4ä"}]}`, `{"a":1,"a":1}`, `{"a":1e999}`} {
		t.Log(l, s.object([]byte(l)))
	}
}
func BenchmarkScan(b *testing.B) {
	for n, d := range docs() {
		b.Run(n, func(b *testing.B) {
			s := newScanner()
			b.SetBytes(int64(len(d)))
			for b.Loop() {
				if f := s.object(d); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}
func docs() map[string][]byte {
	m := map[string][]byte{}
	t, _ := json.Marshal(strings.Repeat("The quick brown fox \"jumps\" over\nthe lazy dog. é ", 20000))
	m["text1M"] = []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":` + string(t) + `}]}}`)
	b := strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0", 1<<20/36)
	m["b641M"] = []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"image","data":"` + b + `"}]}}`)
	var r []string
	for i := 0; i < 10000; i++ {
		r = append(r, fmt.Sprintf(`{"name":"file%d.txt","size":%d,"dir":false,"mtime":"2026-01-01T00:00:00Z"}`, i, i*17))
	}
	m["struct1M"] = []byte(`{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"files":[` + strings.Join(r, ",") + `]}}}`)
	m["ping"] = []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	return m
}
