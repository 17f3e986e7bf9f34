//go:build !linux

package proxy

import "net"

// processAt and lookForProcesses know nothing where the system tells it only with
// rights that we do not have, or not at all.
func processAt(*net.UnixConn) (pid int, ok bool) { return 0, false }

func lookForProcesses() map[ends]int { return nil }
