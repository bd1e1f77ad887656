package tokenizer

// mergeQueue is a binary min-heap of possible merges. An entry holds the rank in its upper and the position in its lower
// 32 bits, so that the order of the entries is that of the merges: by rank, the leftmost first.
type mergeQueue []uint64

func candidate(rank uint32, position int32) uint64 {
	return uint64(rank)<<32 | uint64(uint32(position))
}

// order makes a heap of any queue, in O(n).
func (q mergeQueue) order() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *mergeQueue) push(entry uint64) {
	*q = append(*q, entry)
	h := *q
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent] <= entry {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = entry
}

// pop removes the lowest entry of a queue that is not empty.
func (q *mergeQueue) pop() (rank uint32, position int32) {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	*q = h[:last]
	q.down(0)
	return uint32(top >> 32), int32(uint32(top))
}

// down moves the entry at i below its lesser children.
func (q mergeQueue) down(i int) {
	if i >= len(q) {
		return
	}
	entry := q[i]
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1] < q[child] {
			child++
		}
		if q[child] >= entry {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = entry
}
