package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Describe is the machine in a line: processor, cores, memory, kernel.
func Describe() string {
	return fmt.Sprintf("%s, %d cores, %s, Linux %s", processor(), Cores(), memory(), strings.TrimSpace(read("/proc/sys/kernel/osrelease")))
}

// Cores is how many processors the machine has, whatever we are pinned to.
func Cores() int {
	return max(runtime.NumCPU(), strings.Count(read("/proc/cpuinfo"), "processor\t:"))
}

func processor() string {
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func memory() string {
	total, err := parseKibibytes(read("/proc/meminfo"), "MemTotal:")
	if err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%d GiB", (total+1<<29)>>30)
}

// read is what a file of /proc says, or nothing: a description can do without.
func read(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}
