package peak

var loops = map[string]Loop{
	"cpu/avx2":       {fmaAVX2, 2 * 12 * 8},
	"cpu/avx512":     {fmaAVX512, 2 * 12 * 16},
	"cpu/avx512vnni": {fmaAVX512, 2 * 12 * 16},
	"cpu/avx512bf16": {fmaAVX512, 2 * 12 * 16},
	"cpu/amxbf16":    {fmaAVX512, 2 * 12 * 16},
}

var tiles = map[string]Loop{"cpu/amxbf16": {dotTilesAMX, 2 * 4 * 16 * 16 * 32}}

var readers = map[string]reader{
	"cpu/avx2":       readAVX2,
	"cpu/avx512":     readAVX512,
	"cpu/avx512vnni": readAVX512,
	"cpu/avx512bf16": readAVX512,
	"cpu/amxbf16":    readAVX512,
}
