package main

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
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

// hostCache is the size in bytes of the CPUs' caches of the last level together, as Linux gives it, unknownCache elsewhere.
var hostCache = sync.OnceValue(func() int {
	if size := lastCaches("/sys/devices/system/cpu"); size > 0 {
		return size
	}
	return unknownCache
})

const unknownCache = 128 << 20

// lastCaches adds up the caches of the highest level under a directory as Linux lays it out, each once. It is 0 if there is none to be read.
func lastCaches(cpus string) int {
	level, sizes := 0, map[string]int{} // sizes of that level, by the CPUs that share one
	caches, _ := filepath.Glob(filepath.Join(cpus, "cpu[0-9]*", "cache", "index[0-9]*"))
	for _, cache := range caches {
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join(cache, name))
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(text))
		}
		at, err := strconv.Atoi(read("level"))
		if err != nil || at < level {
			continue
		}
		kib, err := strconv.Atoi(strings.TrimSuffix(read("size"), "K"))
		if err != nil {
			continue
		}
		if at > level {
			level = at
			clear(sizes)
		}
		sizes[read("shared_cpu_list")] = kib << 10
	}
	sum := 0
	for _, size := range sizes {
		sum += size
	}
	return sum
}
