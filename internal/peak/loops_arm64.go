package peak

var loops = map[string]Loop{"cpu/neon": {fmaNEON, 2 * 12 * 4}}

var tiles map[string]Loop

var readers map[string]reader
