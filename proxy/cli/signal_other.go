//go:build !unix

package cli

import "os"

// notifyReload does nothing: the platform has no signal that means "read the
// configuration again". The file is watched there too, and POST /reload works.
func notifyReload(chan<- os.Signal) {}
