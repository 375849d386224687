//go:build !layersoff

package native

// layersOff is empty: every layer is always on.
func layersOff() []string { return nil }

// layerIsOff is constant.
func layerIsOff(string) bool { return false }
