// Package flux keeps Flux's API in go.mod: controller-gen makes its CustomResourceDefinition of it, as Flux's own
// releases do.
package flux

import _ "github.com/fluxcd/helm-controller/api/v2"
