package main

import (
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
)

// device is the device of a name that -device takes.
func device(name string) (backend.Device, error) {
	switch name {
	case "auto", "cpu":
		return backend.Host, nil
	}
	return nil, fmt.Errorf("-device is %q, this program has: auto, cpu", name)
}
