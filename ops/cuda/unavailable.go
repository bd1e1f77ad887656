//go:build !cu || !linux || !cgo

package cuda

import (
	"context"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// Device is a GPU. Without the tag cu there is none: Open returns ErrNotBuilt.
type Device struct{ backend.Device }

// Array is a value on a Device.
type Array struct{ backend.Value }

// Graph is a captured run.
type Graph struct{}

// Count returns ErrNotBuilt.
func Count() (int, error) { return 0, ErrNotBuilt }

// Open returns ErrNotBuilt.
func Open(int) (*Device, error) { return nil, ErrNotBuilt }

// Name is empty.
func (*Device) Name() string { return "" }

// ComputeCapability is 0.0.
func (*Device) ComputeCapability() (major, minor int) { return 0, 0 }

// Memory returns ErrNotBuilt.
func (*Device) Memory() (Memory, error) { return Memory{}, ErrNotBuilt }

// SyncContext returns ErrNotBuilt.
func (*Device) SyncContext(context.Context) error { return ErrNotBuilt }

// Trim returns ErrNotBuilt.
func (*Device) Trim() error { return ErrNotBuilt }

// Time returns ErrNotBuilt.
func (*Device) Time(func() error) (time.Duration, error) { return 0, ErrNotBuilt }

// Clone returns ErrNotBuilt.
func (*Array) Clone() (interface{}, error) { return nil, ErrNotBuilt }

// CopyTo returns ErrNotBuilt.
func (*Array) CopyTo(interface{}) error { return ErrNotBuilt }

// CopyFrom returns ErrNotBuilt.
func (*Array) CopyFrom(interface{}) error { return ErrNotBuilt }

// Close does nothing.
func (*Array) Close() error { return nil }

// Capture returns ErrNotBuilt.
func Capture(*Device, func() error) (*Graph, error) { return nil, ErrNotBuilt }

// Replay returns ErrNotBuilt.
func (*Graph) Replay() error { return ErrNotBuilt }

// Close does nothing.
func (*Graph) Close() error { return nil }
