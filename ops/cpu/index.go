package cpu

import (
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
)

// indicesOf reads v, n numbers of int32, as indices below limit. The first that is none is an ErrIndex.
func indicesOf(stage, operand string, v backend.Value, n, limit int) ([]int32, error) {
	indices, err := elementsOf[int32](stage, operand, v, n)
	if err != nil {
		return nil, err
	}
	for i, x := range indices {
		if x < 0 || int(x) >= limit {
			return nil, fmt.Errorf("%s: %s[%d] is %d, want an index in [0,%d): %w", stage, operand, i, x, limit, backend.ErrIndex)
		}
	}
	return indices, nil
}
