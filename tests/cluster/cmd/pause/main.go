// SPDX-License-Identifier: Apache-2.0

// Command pause holds a pod's namespaces open until it is told to end. It is the test cluster's stand-in for the image
// of the same name, and must do nothing else.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
}
