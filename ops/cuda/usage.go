package cuda

// Memory is how a device's memory is used, in bytes.
type Memory struct {
	InUse  int64 // of Arrays and Graphs
	Cached int64 // kept by this process for the next Arrays
	Free   int64 // not taken by any process
	Total  int64
}
