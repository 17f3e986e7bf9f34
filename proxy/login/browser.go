package login

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
)

// openers maps the system → the command that opens a URL in the user's browser. Others
// have that of the freedesktop project.
var openers = map[string][]string{
	"darwin":  {"open"},
	"windows": {"rundll32", "url.dll,FileProtocolHandler"},
}

// Browse opens a URL, of http or https, in the user's browser. The error is that there
// is none. It does not wait for the browser.
func Browse(url string) error {
	command, known := openers[runtime.GOOS]
	if !known {
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return errors.New("there is no desktop") // and a browser of text would take the terminal
		}
		command = []string{"xdg-open"}
	}
	opener := exec.Command(command[0], append(slices.Clone(command[1:]), url)...)
	if err := opener.Start(); err != nil {
		return err
	}
	return opener.Process.Release()
}
