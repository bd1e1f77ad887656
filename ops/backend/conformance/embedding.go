package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func embeddingChecks(s backend.Embedding) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Embedding(out, in[0], in[1]) }
	var checks []check
	for _, from := range floats {
		for _, to := range floats {
			for _, size := range []struct{ t, v, h int }{{0, 5, 3}, {3, 5, 0}, {1, 1, 1}, {67, 3, 127}, {5, 257, 130}, {2, 1000, 3}} {
				checks = append(checks, check{fmt.Sprintf("%v to %v/T=%d,V=%d,H=%d", from, to, size.t, size.v, size.h), func(e *env) error {
					table := e.floats(from, mostly(normal, math.NaN(), math.Inf(1), math.Inf(-1), 6e4, 1e-7), size.v, size.h)
					return e.embedding(call, to, table, e.positions(size.t, size.v))
				}})
			}
		}
		checks = append(checks, check{fmt.Sprintf("%v/misfits", from), func(e *env) error {
			table, ids := e.alloc(from, 0, 9, 4), e.ints(make([]int32, 3), 3)
			return e.refuses(call, nil, without(e.misfits(template(from, 3, 4), table, ids), "wrong dtype of the destination")...)
		}}, check{fmt.Sprintf("%v/no dtype of floating-point numbers", from), func(e *env) error {
			table, ids := e.alloc(from, 0, 9, 4), e.ints(make([]int32, 3), 3)
			return e.refuses(call, nil, refusal{"int64", template(tensor.Int64, 3, 4), []backend.Value{table, ids}})
		}})
	}
	for _, id := range []int32{-1, 9, math.MinInt32, math.MaxInt32} {
		checks = append(checks, check{fmt.Sprintf("id %d of 9", id), func(e *env) error {
			table := e.floats(tensor.Float32, normal, 9, 4)
			return e.refuses(call, backend.ErrIndex,
				refusal{"id", template(tensor.Float32, 3, 4), []backend.Value{table.value, e.ints([]int32{0, id, 8}, 3)}})
		}})
	}
	return append(checks, check{"views", func(e *env) error {
		return e.views(call, template(tensor.Float32, 3, 4), e.floats(tensor.Float32, normal, 9, 4).value, e.ints([]int32{8, 0, 8}, 3))
	}})
}

// embedding runs the stage and compares. A conversion is one rounding, but for float64 to a narrow format, which may go
// through float32.
func (e *env) embedding(call kernel, to tensor.Dtype, table operand, ids []int32) error {
	from, h := table.value.Dtype(), table.value.Shape()[1]
	out, err := e.apply(call, template(to, len(ids), h), table.value, e.ints(ids, len(ids)))
	if err != nil {
		return err
	}
	var want []approx
	for _, id := range ids {
		if h == 0 {
			break
		}
		for _, x := range table.row(int(id)) {
			w := exactly(x)
			if from == tensor.Float64 && to != from && !math.IsInf(x, 0) {
				w = w.stored(tensor.Float32)
			}
			want = append(want, w)
		}
	}
	return compare(out, want)
}
