package backend_test

import (
	"errors"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestPermutedQuantized(t *testing.T) {
	quantized := func(blockRows, blockCols int) *backend.Quantized {
		q, err := backend.NewQuantized(backend.Host, tensor.Shape{4, 256}, blockRows, blockCols)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	x, rows := quantized(1, 128), quantized(1, 128)
	if got, err := backend.PermutedQuantized(rows, x); err != nil || got != rows {
		t.Errorf("two that fit: got %v and error %v, want the rows", got, err)
	}
	for name, c := range map[string]struct {
		rows backend.Value
		x    *backend.Quantized
		says string
	}{
		"no x":          {rows, nil, "want two Quantized that are not nil"},
		"nil rows":      {(*backend.Quantized)(nil), x, "want two Quantized that are not nil"},
		"no rows":       {nil, x, "rows are a <nil>"},
		"a tensor":      {x.Codes, x, "rows are a *tensor.Dense"},
		"tall rows":     {quantized(2, 128), x, "in 2×128 blocks, x in 1×128"},
		"tall x":        {rows, quantized(2, 128), "in 1×128 blocks, x in 2×128"},
		"both tall":     {quantized(2, 128), quantized(2, 128), "want one row"},
		"another width": {quantized(1, 64), x, "in 1×64 blocks, x in 1×128"},
	} {
		got, err := backend.PermutedQuantized(c.rows, c.x)
		if got != nil || !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), "permute: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v and error %v, want an ErrValue with %q", name, got, err, c.says)
		}
	}
}
