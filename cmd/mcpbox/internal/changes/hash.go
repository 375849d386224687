package changes

import (
	"crypto/sha256"
	"io"
)

// hash copies from r to w.
func hash(r io.Reader, w io.Writer) (sum []byte, size int64, err error) {
	h := sha256.New()
	size, err = io.CopyBuffer(io.MultiWriter(h, w), r, make([]byte, 256<<10))
	return h.Sum(nil), size, err
}
