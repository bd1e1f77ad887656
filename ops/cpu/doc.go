// Package cpu computes the stages of package backend on the host in plain Go. Importing it registers the backend:
//
//	import _ "github.com/gorgonia/moe/ops/cpu"
//
// Plain Go runs on every GOARCH and is the specification that faster variants are held to. All stages are deterministic:
// the same operands give the same bits, whatever GOMAXPROCS is. Sums run in float32, in float64 for float64 operands.
package cpu

import "github.com/gorgonia/moe/ops/backend"

// Go is the backend in plain Go. It has every stage but the fused Experts and no state.
type Go struct{}

// Name is "cpu/go".
func (Go) Name() string { return "cpu/go" }

func init() { backend.Register("cpu", 0, Go{}) }
