// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch yields after links, addresses, routes or rules of the machine changed, this program's own changes included.
// Changes are coalesced. The channel is closed when ctx ends.
func Watch(ctx context.Context) (<-chan struct{}, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	changed := make(chan struct{}, 1)
	context.AfterFunc(ctx, socket.Close)
	go func() {
		defer close(changed)
		for {
			// Receive fails with ENOBUFS when changes came faster than they were read, which is a change as well.
			if _, _, err := socket.Receive(); err != nil && (ctx.Err() != nil || !errors.Is(err, unix.ENOBUFS)) {
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}
