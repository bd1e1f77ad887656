package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLastCaches lays out four CPUs that share two caches of the third level in pairs, and what is not to be counted.
func TestLastCaches(t *testing.T) {
	dir := t.TempDir()
	if got := lastCaches(dir); got != 0 {
		t.Errorf("%d bytes where nothing is known", got)
	}
	write := func(cpu, index, level, size, shared string) {
		t.Helper()
		cache := filepath.Join(dir, cpu, "cache", index)
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"level": level, "size": size, "shared_cpu_list": shared} {
			if err := os.WriteFile(filepath.Join(cache, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for cpu, pair := range map[string]string{"cpu0": "0-1", "cpu1": "0-1", "cpu2": "2-3", "cpu10": "2-3"} {
		write(cpu, "index0", "1", "32K", cpu)
		write(cpu, "index3", "3", "1024K", pair)
	}
	write("cpu0", "index4", "4", "", "0-1")
	write("cpu1", "index4", "", "64K", "0-1")
	write("cpufreq", "index4", "4", "64K", "0-1")
	if got := lastCaches(dir); got != 2<<20 {
		t.Errorf("%d bytes, want %d", got, 2<<20)
	}
}

func TestSets(t *testing.T) {
	for _, c := range []struct {
		cache, bytes float64
		want         int
	}{{0, 0, 1}, {0, 100, 1}, {100, 0, maxSets}, {100, 1, maxSets}, {100, 50, 4}, {100, 60, 4}, {100, 200, 1}, {100, 199, 2}} {
		if got := sets(c.cache, c.bytes); got != c.want {
			t.Errorf("%v bytes and a cache of %v: %d sets, want %d", c.bytes, c.cache, got, c.want)
		}
	}
}
