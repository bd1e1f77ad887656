package hugepages

import "testing"

// TestWantOfAnyLength keeps what memory of any length holds, and takes none.
func TestWantOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 5 << 20} {
		data := make([]uint16, n)
		for i := range data {
			data[i] = uint16(i)
		}
		for _, from := range []int{0, min(n, 3)} {
			Want(data[from:])
		}
		for i := range data {
			if data[i] != uint16(i) {
				t.Fatalf("%d elements: element %d is %d", n, i, data[i])
			}
		}
	}
	Want([]byte(nil))
}
