package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident is the memory that process pid has, in bytes (Rss of proc_pid_smaps(5)).
func Resident(pid int) (int64, error) {
	return kibibytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Rss:")
}

// Peak is the most that process pid had since it started, or since ResetPeak, in bytes.
func Peak(pid int) (int64, error) {
	return kibibytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
}

// FileBacked is the part of Resident that are pages of files, the program's own among
// them, in bytes: the kernel takes them back when it needs them.
func FileBacked(pid int) (int64, error) {
	return kibibytes(fmt.Sprintf("/proc/%d/status", pid), "RssFile:")
}

// ResetPeak has Peak begin anew.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// kibibytes reads a line like "Rss:  1234 kB" of a file in /proc.
func kibibytes(path, name string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return parseKibibytes(string(data), name)
}

func parseKibibytes(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		value, found := strings.CutPrefix(line, name)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("there is no %s", name)
}
