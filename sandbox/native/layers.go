//go:build !layersoff

package native

// layersOff is always empty: every box has every layer.
func layersOff() []string { return nil }
