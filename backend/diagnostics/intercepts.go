// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"context"
	"fmt"
	"strings"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// checkIntercepts looks at what comes to this laptop: whether each intercept is active, and whether a program listens.
func checkIntercepts(_ context.Context, env Environment) []Check {
	s := env.Status
	switch {
	case s.State == "" || s.State == session.Disconnected:
		return []Check{skip("intercepts", "not connected")}
	case len(s.Intercepts) == 0:
		return []Check{skip("intercepts", "there are none")}
	}
	var wrong, hints []string
	for _, i := range s.Intercepts {
		if i.Phase != string(v1alpha1.InterceptActive) {
			text := fmt.Sprintf("%s is %s", i.Workload.Name, strings.ToLower(i.Phase))
			if i.Phase == "" {
				text = i.Workload.Name + " has no answer from the gateway"
			}
			if i.Message != "" {
				text += ": " + i.Message
			}
			wrong, hints = append(wrong, text), append(hints, "See: fairlead status.")
		}
		for _, p := range i.Ports {
			if !p.Listening && i.Phase != string(v1alpha1.InterceptEnded) {
				wrong = append(wrong, fmt.Sprintf("nothing listens on %s, where port %d of %s goes; the app gets the requests meanwhile", p.Local, p.Port, i.Workload.Name))
				hints = append(hints, "Start the program, or leave the intercept: fairlead leave "+i.Name+".")
			}
		}
	}
	if len(wrong) > 0 {
		return []Check{warn("intercepts", hints[0], "%s", strings.Join(wrong, "; "))}
	}
	return []Check{ok("intercepts", "%d, all of them active, and programs listen", len(s.Intercepts))}
}
