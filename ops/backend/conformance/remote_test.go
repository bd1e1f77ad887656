package conformance

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// remoteDevice stands for an accelerator: its values are of a type of their own, and what goes wrong in a stage shows at the
// next Sync.
type remoteDevice struct{ failed error }

// remote is a value of a remoteDevice.
type remote struct {
	*tensor.Dense
	on *remoteDevice
}

func (v *remote) Device() backend.Device { return v.on }

func (d *remoteDevice) String() string { return "remote:0" }
func (d *remoteDevice) Kind() string   { return "remote" }

func (d *remoteDevice) New(dt tensor.Dtype, shape tensor.Shape) (backend.Value, error) {
	v, err := backend.Host.New(dt, shape)
	if err != nil {
		return nil, err
	}
	return &remote{v.(*tensor.Dense), d}, nil
}

func (d *remoteDevice) Upload(v backend.Value) (backend.Value, error) {
	there, err := d.New(v.Dtype(), v.Shape())
	if err != nil {
		return nil, err
	}
	return there, copyBytes(there.(*remote).Dense, v)
}

func (d *remoteDevice) Download(v backend.Value) (backend.Value, error) {
	host, err := backend.Host.New(v.Dtype(), v.Shape())
	if err != nil {
		return nil, err
	}
	return host, copyBytes(host, v.(*remote).Dense)
}

func (d *remoteDevice) Sync() error {
	err := d.failed
	d.failed = nil
	return err
}

func copyBytes(to, from backend.Value) error {
	dst, err := backend.Bytes(to)
	if err != nil {
		return err
	}
	src, err := backend.Bytes(from)
	copy(dst, src)
	return err
}

// remoteBackend has a stage of each kind of operand, on remote values.
type remoteBackend struct {
	reference
	d *remoteDevice
}

func (b remoteBackend) Name() string { return "remote" }

// near is the host value of a remote one; what is not remote stays what it is.
func near(v backend.Value) backend.Value {
	switch v := v.(type) {
	case *remote:
		return v.Dense
	case backend.Composite:
		parts := slices.Clone(v.Parts())
		for i, p := range parts {
			parts[i] = near(p)
		}
		return must(v.With(parts))
	}
	return v
}

// later keeps an error for the next Sync.
func (b remoteBackend) later(err error) error {
	b.d.failed = err
	return nil
}

func (b remoteBackend) Plan(p *backend.Plan, ids, expertMap backend.Value) error {
	if expertMap != nil {
		expertMap = near(expertMap)
	}
	return b.later(b.reference.Plan(near(p).(*backend.Plan), near(ids), expertMap))
}

func (b remoteBackend) Permute(rows, x backend.Value, p *backend.Plan) error {
	return b.later(b.reference.Permute(near(rows), near(x), near(p).(*backend.Plan)))
}

func (b remoteBackend) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	return b.later(b.reference.GroupedMatMul(near(out), near(rows), near(w), near(p).(*backend.Plan)))
}

func (b remoteBackend) Quantize(q *backend.Quantized, x backend.Value) error {
	return b.later(b.reference.Quantize(near(q).(*backend.Quantized), near(x)))
}

func (b remoteBackend) CacheAppend(c *backend.KVCache, keys, values, positions backend.Value) error {
	return b.later(b.reference.CacheAppend(near(c).(*backend.KVCache), near(keys), near(values), near(positions)))
}

func (b remoteBackend) Add(out, a, c backend.Value) error {
	return b.later(b.reference.Add(near(out), near(a), near(c)))
}

// TestRemoteDevicePasses runs the suite where no operand is on the host and every error is late.
func TestRemoteDevicePasses(t *testing.T) {
	d := &remoteDevice{}
	stages := []string{"Plan", "Permute", "GroupedMatMul", "Quantize", "CacheAppend", "Add"}
	Options{Stages: stages, Require: stages}.Run(t, d, remoteBackend{d: d})
}

// TestStickyErrorFails wants a device to be found out that reports one error at every Sync.
func TestStickyErrorFails(t *testing.T) {
	d := &stickyDevice{}
	b := remoteBackend{d: &d.remoteDevice}
	for _, c := range planChecks(b) {
		if _, err := c.execute(d, 1); err != nil {
			return
		}
	}
	t.Error("no check found a device whose Sync never forgets an error")
}

// stickyDevice never forgets an error.
type stickyDevice struct{ remoteDevice }

func (d *stickyDevice) Sync() error {
	if d.failed != nil {
		return fmt.Errorf("device: %w", d.failed)
	}
	return nil
}
