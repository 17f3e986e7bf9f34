package load

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Download gets url by curl, and says how long that took.
func Download(ctx context.Context, url string) (time.Duration, error) {
	return curl(ctx, url)
}

// Upload puts a file to url by curl, and says how long that took.
func Upload(ctx context.Context, url, file string) (time.Duration, error) {
	return curl(ctx, "--upload-file", file, "--header", "Expect:", url)
}

func curl(ctx context.Context, args ...string) (time.Duration, error) {
	args = append([]string{"--silent", "--show-error", "--fail", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{time_total}"}, args...)
	output, err := exec.CommandContext(ctx, "curl", args...).Output()
	if err != nil {
		return 0, fmt.Errorf("running curl %s: %w", strings.Join(args, " "), err)
	}
	seconds, err := strconv.ParseFloat(string(output), 64)
	return time.Duration(seconds * float64(time.Second)), err
}
