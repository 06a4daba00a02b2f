// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/spf13/cobra"
)

func proxyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "proxy ADDRESS",
		Short: "Be an HTTP proxy that knows CONNECT (RFC 9110, section 9.3.6), as offices have one, until interrupted",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server := &http.Server{Addr: args[0], Handler: http.HandlerFunc(connectThrough)}
			go func() {
				<-cmd.Context().Done()
				server.Close()
			}()
			if err := server.ListenAndServe(); err != http.ErrServerClosed {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		},
	}
}

// connectThrough joins the caller with the address that it asks for.
func connectThrough(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy knows CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	target, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer target.Close()
	w.WriteHeader(http.StatusOK)
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer caller.Close()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(target, buffered); target.(*net.TCPConn).CloseWrite() })
	both.Go(func() { io.Copy(caller, target); caller.(*net.TCPConn).CloseWrite() })
	both.Wait()
}
