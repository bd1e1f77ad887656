package cpu

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

func TestEmbeddingConverts(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	for _, size := range []struct {
		rows, width int
		ids         []int32
	}{
		{3, 4, nil}, {0, 4, nil}, {1, 1, []int32{0}}, {3, 0, []int32{2, 0}}, {5, 127, []int32{4, 0, 4}}, {2, tile + 3, []int32{1, 0, 1, 1}},
	} {
		for _, from := range floatDtypes {
			table, values := normals(t, rng, from, size.rows, size.width)
			if len(values) > 0 {
				f, err := floatsOf[float64]("test", "table", table, size.rows, size.width)
				if err != nil {
					t.Fatal(err)
				}
				values[0] = math.NaN()
				f.write(0, values[:1])
			}
			for _, to := range floatDtypes {
				out := poisoned(t, to, len(size.ids), size.width)
				if err := (Go{}).Embedding(out, table, hostTensor(t, []int{len(size.ids)}, size.ids...)); err != nil {
					t.Fatal(err)
				}
				var want []float64
				for _, id := range size.ids {
					want = append(want, values[int(id)*size.width:][:size.width]...)
				}
				rounded := floatTensor(t, to, []int{len(size.ids), size.width}, want...)
				if !sameFloats(floatsIn(t, out), floatsIn(t, rounded)) {
					t.Errorf("%v to %v, %+v: got %v, want %v", from, to, size, floatsIn(t, out), want)
				}
			}
		}
	}
}

func TestEmbeddingErrors(t *testing.T) {
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	ids := func(x ...int32) backend.Value { return hostTensor(t, []int{len(x)}, x...) }
	for name, c := range map[string]struct {
		out, table, ids backend.Value
		want            error
		text            string
	}{
		"no out":         {nil, f32(7, 3), ids(0, 1), backend.ErrValue, ""},
		"no table":       {f32(2, 3), nil, ids(0, 1), backend.ErrValue, ""},
		"no ids":         {f32(2, 3), f32(7, 3), nil, backend.ErrValue, ""},
		"rank":           {f32(2, 3), f32(21), ids(0, 1), backend.ErrShape, ""},
		"width":          {f32(2, 4), f32(7, 3), ids(0, 1), backend.ErrShape, ""},
		"ids":            {f32(2, 3), f32(7, 3), ids(0, 1, 2), backend.ErrShape, ""},
		"dtype of out":   {hostTensor[int32](t, []int{2, 3}), f32(7, 3), ids(0, 1), backend.ErrDtype, ""},
		"dtype of table": {f32(2, 3), hostTensor[int32](t, []int{7, 3}), ids(0, 1), backend.ErrDtype, ""},
		"int64":          {f32(2, 3), f32(7, 3), hostTensor[int64](t, []int{2}), backend.ErrDtype, ""},
		"negative":       {f32(2, 3), f32(7, 3), ids(0, -1), backend.ErrIndex, "ids[1] is -1, want an index in [0,7)"},
		"too great":      {f32(2, 3), f32(7, 3), ids(7, -1), backend.ErrIndex, "ids[0] is 7, want an index in [0,7)"},
		"of nothing":     {f32(2, 3), f32(0, 3), ids(0, 0), backend.ErrIndex, "ids[0] is 0, want an index in [0,0)"},
	} {
		var before []byte
		if c.out != nil {
			before = bytesIn(t, c.out)
		}
		err := Go{}.Embedding(c.out, c.table, c.ids)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got error %v, want %v with %q", name, err, c.want, c.text)
		}
		if c.out != nil && !bytes.Equal(bytesIn(t, c.out), before) {
			t.Errorf("%s: out has been written to", name)
		}
	}
}
