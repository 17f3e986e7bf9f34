package cli

import "os"

// alertSource says who tells of alerts: the service, as its traces name it, and the machine,
// or the pod, that it runs on. Replicas differ by that.
func alertSource(service string) string {
	host, err := os.Hostname()
	if err != nil {
		return service
	}
	return service + " on " + host
}
