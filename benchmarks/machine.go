package main

import (
	"bufio"
	"os"
	"runtime"
	"strings"
	"sync"
)

// cpuName is the model of the CPU as Linux gives it, the architecture elsewhere.
var cpuName = sync.OnceValue(func() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
})
