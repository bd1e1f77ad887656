package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops/backend"
)

// ToDevice moves x to the device d: the output has x's dtype, shape and numbers, and the ops that read it run there. x is a tensor
// of any number of dimensions and of a dtype that d takes, or any other value of this module: a backend.Quantized, a
// backend.ExpertStack, a backend.Plan, a packed weight, which is unpacked on the way. The devices need not be of one kind.
//
// What is on d already is given back as it is and shares x's memory, but for a tensor on the host, which is copied: Gorgonia's own ops
// write over an operand that nothing reads after them. Everything else is copied in every run: weights are better moved once, by a
// layer's To or backend.To. Moving away from a device waits for the work queued there and reports what it found wrong.
//
// A backend.KVCache is written in place from run to run, which would be lost in a copy: one that is not on d is a
// backend.ErrValue. A nil device is a backend.ErrParameter; what d cannot hold is d's own error. There is no gradient.
func ToDevice(x *gorgonia.Node, d backend.Device) (*gorgonia.Node, error) {
	return apply(toDevice{d}, x)
}

// EvalToDevice is ToDevice on values, without a graph: a contiguous tensor on the host is given back as it is, too.
func EvalToDevice(x backend.Value, d backend.Device) (backend.Value, error) {
	return eval(toDevice{d}, x)
}

// ToHost is ToDevice to the host, where Gorgonia's own ops run and a value can be read.
func ToHost(x *gorgonia.Node) (*gorgonia.Node, error) { return ToDevice(x, backend.Host) }

// EvalToHost is ToHost on values, without a graph, as EvalToDevice is.
func EvalToHost(x backend.Value) (backend.Value, error) { return EvalToDevice(x, backend.Host) }

type toDevice struct{ device backend.Device }

func (toDevice) name() string { return "ToDevice" }

// spec tells devices apart by their kinds and names.
func (s toDevice) spec() string { return fmt.Sprintf("%s %v", s.device.Kind(), s.device) }

func (s toDevice) infer(in []operand) (operand, error) {
	x := in[0]
	if s.device == nil {
		return operand{}, fmt.Errorf("todevice: the device is nil: %w", backend.ErrParameter)
	}
	if c, ok := x.value.(*backend.KVCache); ok && backend.DeviceOf(c) != s.device {
		return operand{}, fmt.Errorf("todevice: x is a %v, want it on %v from the start: %w", c, s.device, backend.ErrValue)
	}
	return operand{dtype: x.dtype, shape: x.shape}, nil
}

func (s toDevice) make(_ backend.Device, _ operand, in []backend.Value, _ backend.Value) (backend.Value, error) {
	return backend.To(s.device, in[0])
}

func (toDevice) run(backend.Device, backend.Value, []backend.Value) error { return nil }
