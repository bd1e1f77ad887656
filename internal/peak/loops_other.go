//go:build !amd64 && !arm64

package peak

var (
	loops   map[string]Loop
	tiles   map[string]Loop
	readers map[string]reader
)
