// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/settings"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

// typesFile are the types of this API as the page sees them.
const typesFile = "../../frontend/src/api/types.ts"

// words are the values of types that are words.
var words = map[reflect.Type][]string{
	reflect.TypeFor[session.State](): {
		string(session.Disconnected), string(session.Connecting), string(session.Connected), string(session.Reconnecting), string(session.Disconnecting),
	},
	reflect.TypeFor[activity.Level](): {string(activity.Info), string(activity.Good), string(activity.Warning), string(activity.Trouble)},
	reflect.TypeFor[activity.Kind](): {
		string(activity.Connection), string(activity.Carrier), string(activity.DNS), string(activity.Intercept), string(activity.Gateway),
		string(activity.Helper), string(activity.Settings),
	},
	reflect.TypeFor[settings.Theme]():      {string(settings.ThemeSystem), string(settings.ThemeLight), string(settings.ThemeDark)},
	reflect.TypeFor[diagnostics.Result]():  {string(diagnostics.OK), string(diagnostics.Warn), string(diagnostics.Fail), string(diagnostics.Skip)},
	reflect.TypeFor[session.CarrierMode](): {string(session.CarrierAuto), string(session.CarrierUDP), string(session.CarrierRelay)},
}

func TestThePageHasTheTypesOfTheAPI(t *testing.T) {
	w := &typeWriter{known: map[string]reflect.Type{}}
	for _, root := range []reflect.Type{
		reflect.TypeFor[Status](), reflect.TypeFor[ConnectRequest](), reflect.TypeFor[Target](), reflect.TypeFor[Contexts](),
		reflect.TypeFor[Namespaces](), reflect.TypeFor[Version](), reflect.TypeFor[Helper](), reflect.TypeFor[failure](),
		reflect.TypeFor[WorkloadsRequest](), reflect.TypeFor[Workloads](), reflect.TypeFor[Report](), reflect.TypeFor[GatewayRequest](), reflect.TypeFor[Gateway](),
		reflect.TypeFor[InterceptRequest](), reflect.TypeFor[InterceptsRequest](), reflect.TypeFor[Intercepts](), reflect.TypeFor[LeaveRequest](), reflect.TypeFor[Left](),
		reflect.TypeFor[EnvironmentRequest](), reflect.TypeFor[Environment](), reflect.TypeFor[Progress](), reflect.TypeFor[CancelRequest](), reflect.TypeFor[Ended](),
		reflect.TypeFor[Snapshot](), reflect.TypeFor[Programs](), reflect.TypeFor[Records](), reflect.TypeFor[ContextState](), reflect.TypeFor[GatewayPlan](),
		reflect.TypeFor[InterceptPreview](), reflect.TypeFor[EnvironmentFileRequest](), reflect.TypeFor[EnvironmentFile](), reflect.TypeFor[TerminalRequest](),
		reflect.TypeFor[NamespaceRequest](), reflect.TypeFor[BundlePlan](),
	} {
		w.typeOf(t, root)
	}
	got := "// SPDX-License-Identifier: Apache-2.0\n// Made of the Go types by: go test ./app/localapi -run Types -update\n" + w.text.String()
	golden.Compare(t, typesFile, got)
}

// typeWriter writes declarations of TypeScript, each type once, after those that it needs.
type typeWriter struct {
	text  strings.Builder
	known map[string]reflect.Type
}

// typeOf returns the type of Go's v in TypeScript, and declares what is missing for it.
func (w *typeWriter) typeOf(t *testing.T, v reflect.Type) string {
	t.Helper()
	switch v {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
		return "string"
	case reflect.TypeFor[json.RawMessage]():
		return "unknown"
	}
	switch v.Kind() {
	case reflect.Pointer:
		return w.typeOf(t, v.Elem())
	case reflect.Slice:
		return w.typeOf(t, v.Elem()) + "[]"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Uint64, reflect.Float64:
		return "number"
	case reflect.String:
		if words[v] == nil {
			return "string"
		}
	case reflect.Struct:
	default:
		t.Fatalf("%v has no type in TypeScript", v)
	}
	name := strings.ToUpper(v.Name()[:1]) + v.Name()[1:]
	if other, ok := w.known[name]; ok {
		if other != v {
			t.Fatalf("%v and %v would have the same name", v, other)
		}
		return name
	}
	w.known[name] = v
	declaration := fmt.Sprintf("\nexport interface %s {\n%s}\n", name, w.fields(t, v))
	if v.Kind() == reflect.String {
		declaration = fmt.Sprintf("\nexport type %s = '%s'\n", name, strings.Join(words[v], "' | '"))
	}
	w.text.WriteString(declaration)
	return name
}

func (w *typeWriter) fields(t *testing.T, v reflect.Type) string {
	if v.Kind() != reflect.Struct {
		return ""
	}
	var text strings.Builder
	for i := range v.NumField() {
		field := v.Field(i)
		if field.Anonymous {
			text.WriteString(w.fields(t, field.Type))
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		// A slice that is there but nil is null in JSON.
		value := w.typeOf(t, field.Type)
		omitted := slices.Contains(strings.Split(options, ","), "omitempty")
		if !omitted && (field.Type.Kind() == reflect.Slice || field.Type.Kind() == reflect.Pointer) {
			value += " | null"
		}
		optional := ""
		if omitted {
			optional = "?"
		}
		fmt.Fprintf(&text, "  %s%s: %s\n", name, optional, value)
	}
	return text.String()
}
