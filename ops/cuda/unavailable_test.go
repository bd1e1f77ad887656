//go:build !cu || !linux || !cgo

package cuda_test

import (
	"errors"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda"
)

func TestWithoutTheTag(t *testing.T) {
	_, openErr := cuda.Open(0)
	_, countErr := cuda.Count()
	_, captureErr := cuda.Capture(nil, func() error { return nil })
	var (
		device cuda.Device
		array  cuda.Array
		graph  cuda.Graph
	)
	_, memoryErr := device.Memory()
	_, timeErr := device.Time(func() error { return nil })
	_, cloneErr := array.Clone()
	for what, err := range map[string]error{
		"Open": openErr, "Count": countErr, "Capture": captureErr, "Memory": memoryErr, "Trim": device.Trim(), "Time": timeErr,
		"SyncContext": device.SyncContext(t.Context()),
		"Clone":       cloneErr, "CopyTo": array.CopyTo(nil), "CopyFrom": array.CopyFrom(nil), "Replay": graph.Replay(),
	} {
		if !errors.Is(err, cuda.ErrNotBuilt) || !errors.Is(err, backend.ErrDevice) {
			t.Errorf("%s: error %v, want %v", what, err, cuda.ErrNotBuilt)
		}
	}
	if b := backend.Backends("cuda"); len(b) != 0 {
		t.Errorf("%d backends are registered for cuda", len(b))
	}
}
