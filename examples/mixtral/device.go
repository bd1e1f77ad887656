package main

import (
	"errors"
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda"
)

// device is the device of a name that -device takes. A program built without the tag cu knows no GPU; auto is the first GPU
// where there is one.
func device(name string) (backend.Device, error) {
	gpus, err := cuda.Count()
	names := "auto, cpu"
	if !errors.Is(err, cuda.ErrNotBuilt) {
		names += ", cuda"
	}
	switch {
	case name == "cpu", name == "auto" && (err != nil || gpus == 0):
		return backend.Host, nil
	case name == "auto", name == "cuda" && !errors.Is(err, cuda.ErrNotBuilt):
		return cuda.Open(0)
	}
	return nil, fmt.Errorf("-device is %q, this program has: %s", name, names)
}
