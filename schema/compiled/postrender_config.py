# Written by `python -m schema` from schema/postrender.config.schema.yaml: never by hand.
# mypy: ignore-errors
VERSION = "2.22.3"
from decimal import Decimal
import re
from schema.compiled import MismatchError as JsonSchemaValueException

JsonSchemaValuesException = JsonSchemaValueException


REGEX_PATTERNS = {
    '^v?1\\.[0-9]+(\\.[0-9]+.*)?$': re.compile('^v?1\\.[0-9]+(\\.[0-9]+.*)?\\Z'),
    '^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[numkMGTPE])?$': re.compile('^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[numkMGTPE])?\\Z'),
    '^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$': re.compile('^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?\\Z'),
    '^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$': re.compile('^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\\Z'),
    '^(meta\\.helm\\.sh|helm\\.sh|postrenderer\\.helm\\.sh)/': re.compile('^(meta\\.helm\\.sh|helm\\.sh|postrenderer\\.helm\\.sh)/'),
    '^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$': re.compile('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\\Z')
}

NoneType = type(None)

def validate(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data__missing_keys = set(['apiVersion', 'kind']) - data.keys()
        if data__missing_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must contain ")
        data_keys = set(data.keys())
        if "apiVersion" in data_keys:
            data_keys.remove("apiVersion")
            data__apiVersion = data["apiVersion"]
            if not (isinstance(data__apiVersion, str) and data__apiVersion == 'helm-tidb.io/v1'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".apiVersion must be one of ['helm-tidb.io/v1']")
        if "kind" in data_keys:
            data_keys.remove("kind")
            data__kind = data["kind"]
            if not (isinstance(data__kind, str) and data__kind == 'PostRender'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".kind must be one of ['PostRender']")
        if "metadata" in data_keys:
            data_keys.remove("metadata")
            data__metadata = data["metadata"]
            if not isinstance(data__metadata, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".metadata must be object")
        if "rules" in data_keys:
            data_keys.remove("rules")
            data__rules = data["rules"]
            if not isinstance(data__rules, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".rules must be object")
            data__rules_is_dict = isinstance(data__rules, dict)
            if data__rules_is_dict:
                data__rules_keys = set(data__rules.keys())
                if "labels" in data__rules_keys:
                    data__rules_keys.remove("labels")
                    data__rules__labels = data__rules["labels"]
                    validate___definitions_labels(data__rules__labels, custom_formats, (name_prefix or "data") + ".rules.labels")
                if "images" in data__rules_keys:
                    data__rules_keys.remove("images")
                    data__rules__images = data__rules["images"]
                    validate___definitions_images(data__rules__images, custom_formats, (name_prefix or "data") + ".rules.images")
                if "guaranteed" in data__rules_keys:
                    data__rules_keys.remove("guaranteed")
                    data__rules__guaranteed = data__rules["guaranteed"]
                    validate___definitions_guaranteed(data__rules__guaranteed, custom_formats, (name_prefix or "data") + ".rules.guaranteed")
                if "exposure" in data__rules_keys:
                    data__rules_keys.remove("exposure")
                    data__rules__exposure = data__rules["exposure"]
                    validate___definitions_exposure(data__rules__exposure, custom_formats, (name_prefix or "data") + ".rules.exposure")
                if "isolation" in data__rules_keys:
                    data__rules_keys.remove("isolation")
                    data__rules__isolation = data__rules["isolation"]
                    validate___definitions_isolation(data__rules__isolation, custom_formats, (name_prefix or "data") + ".rules.isolation")
                if "api-versions" in data__rules_keys:
                    data__rules_keys.remove("api-versions")
                    data__rules__apiversions = data__rules["api-versions"]
                    validate___definitions_api_versions(data__rules__apiversions, custom_formats, (name_prefix or "data") + ".rules.api-versions")
                if data__rules_keys:
                    raise JsonSchemaValueException("" + (name_prefix or "data") + ".rules must not contain "+str(data__rules_keys)+" properties")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_api_versions(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "kubernetes" in data_keys:
            data_keys.remove("kubernetes")
            data__kubernetes = data["kubernetes"]
            if not isinstance(data__kubernetes, (str)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".kubernetes must be string")
            if isinstance(data__kubernetes, str):
                if not REGEX_PATTERNS['^v?1\\.[0-9]+(\\.[0-9]+.*)?$'].search(data__kubernetes):
                    raise JsonSchemaValueException("" + (name_prefix or "data") + ".kubernetes must match pattern ^v?1\\.[0-9]+(\\.[0-9]+.*)?$")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_enabled(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (bool)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be boolean")
    return data

def validate___definitions_isolation(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "databases" in data_keys:
            data_keys.remove("databases")
            data__databases = data["databases"]
            if not isinstance(data__databases, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".databases must be array")
            data__databases_is_list = isinstance(data__databases, (list, tuple))
            if data__databases_is_list:
                data__databases_len = len(data__databases)
                for data__databases_x, data__databases_item in enumerate(data__databases):
                    if not isinstance(data__databases_item, (str)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".databases[{data__databases_x}]".format(**locals()) + " must be string")
        if "localClasses" in data_keys:
            data_keys.remove("localClasses")
            data__localClasses = data["localClasses"]
            if not isinstance(data__localClasses, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".localClasses must be array")
            data__localClasses_is_list = isinstance(data__localClasses, (list, tuple))
            if data__localClasses_is_list:
                data__localClasses_len = len(data__localClasses)
                for data__localClasses_x, data__localClasses_item in enumerate(data__localClasses):
                    validate___definitions_glob(data__localClasses_item, custom_formats, (name_prefix or "data") + ".localClasses[{data__localClasses_x}]".format(**locals()))
        if "localProvisioners" in data_keys:
            data_keys.remove("localProvisioners")
            data__localProvisioners = data["localProvisioners"]
            if not isinstance(data__localProvisioners, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".localProvisioners must be array")
            data__localProvisioners_is_list = isinstance(data__localProvisioners, (list, tuple))
            if data__localProvisioners_is_list:
                data__localProvisioners_len = len(data__localProvisioners)
                for data__localProvisioners_x, data__localProvisioners_item in enumerate(data__localProvisioners):
                    validate___definitions_glob(data__localProvisioners_item, custom_formats, (name_prefix or "data") + ".localProvisioners[{data__localProvisioners_x}]".format(**locals()))
        if "agents" in data_keys:
            data_keys.remove("agents")
            data__agents = data["agents"]
            if not isinstance(data__agents, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".agents must be array")
            data__agents_is_list = isinstance(data__agents, (list, tuple))
            if data__agents_is_list:
                data__agents_len = len(data__agents)
                for data__agents_x, data__agents_item in enumerate(data__agents):
                    if not isinstance(data__agents_item, (str)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".agents[{data__agents_x}]".format(**locals()) + " must be string")
        if "hostPaths" in data_keys:
            data_keys.remove("hostPaths")
            data__hostPaths = data["hostPaths"]
            if not isinstance(data__hostPaths, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".hostPaths must be array")
            data__hostPaths_is_list = isinstance(data__hostPaths, (list, tuple))
            if data__hostPaths_is_list:
                data__hostPaths_len = len(data__hostPaths)
                for data__hostPaths_x, data__hostPaths_item in enumerate(data__hostPaths):
                    if not isinstance(data__hostPaths_item, (dict)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}]".format(**locals()) + " must be object")
                    data__hostPaths_item_is_dict = isinstance(data__hostPaths_item, dict)
                    if data__hostPaths_item_is_dict:
                        data__hostPaths_item__missing_keys = set(['path']) - data__hostPaths_item.keys()
                        if data__hostPaths_item__missing_keys:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}]".format(**locals()) + " must contain ")
                        data__hostPaths_item_keys = set(data__hostPaths_item.keys())
                        if "kind" in data__hostPaths_item_keys:
                            data__hostPaths_item_keys.remove("kind")
                            data__hostPaths_item__kind = data__hostPaths_item["kind"]
                            validate___definitions_glob(data__hostPaths_item__kind, custom_formats, (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}].kind".format(**locals()))
                        if "name" in data__hostPaths_item_keys:
                            data__hostPaths_item_keys.remove("name")
                            data__hostPaths_item__name = data__hostPaths_item["name"]
                            validate___definitions_glob(data__hostPaths_item__name, custom_formats, (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}].name".format(**locals()))
                        if "namespace" in data__hostPaths_item_keys:
                            data__hostPaths_item_keys.remove("namespace")
                            data__hostPaths_item__namespace = data__hostPaths_item["namespace"]
                            validate___definitions_glob(data__hostPaths_item__namespace, custom_formats, (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}].namespace".format(**locals()))
                        if "path" in data__hostPaths_item_keys:
                            data__hostPaths_item_keys.remove("path")
                            data__hostPaths_item__path = data__hostPaths_item["path"]
                            validate___definitions_glob(data__hostPaths_item__path, custom_formats, (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}].path".format(**locals()))
                        if data__hostPaths_item_keys:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".hostPaths[{data__hostPaths_x}]".format(**locals()) + " must not contain "+str(data__hostPaths_item_keys)+" properties")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_glob(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (str)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be string")
    if isinstance(data, str):
        data_len = len(data)
        if data_len < 1:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must be longer than or equal to 1 characters")
    return data

def validate___definitions_exposure(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "allow" in data_keys:
            data_keys.remove("allow")
            data__allow = data["allow"]
            if not isinstance(data__allow, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".allow must be array")
            data__allow_is_list = isinstance(data__allow, (list, tuple))
            if data__allow_is_list:
                data__allow_len = len(data__allow)
                for data__allow_x, data__allow_item in enumerate(data__allow):
                    if not isinstance(data__allow_item, (dict)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".allow[{data__allow_x}]".format(**locals()) + " must be object")
                    data__allow_item_is_dict = isinstance(data__allow_item, dict)
                    if data__allow_item_is_dict:
                        data__allow_item_len = len(data__allow_item)
                        if data__allow_item_len < 1:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".allow[{data__allow_x}]".format(**locals()) + " must contain at least 1 properties")
                        data__allow_item_keys = set(data__allow_item.keys())
                        if "kind" in data__allow_item_keys:
                            data__allow_item_keys.remove("kind")
                            data__allow_item__kind = data__allow_item["kind"]
                            validate___definitions_glob(data__allow_item__kind, custom_formats, (name_prefix or "data") + ".allow[{data__allow_x}].kind".format(**locals()))
                        if "name" in data__allow_item_keys:
                            data__allow_item_keys.remove("name")
                            data__allow_item__name = data__allow_item["name"]
                            validate___definitions_glob(data__allow_item__name, custom_formats, (name_prefix or "data") + ".allow[{data__allow_x}].name".format(**locals()))
                        if "namespace" in data__allow_item_keys:
                            data__allow_item_keys.remove("namespace")
                            data__allow_item__namespace = data__allow_item["namespace"]
                            validate___definitions_glob(data__allow_item__namespace, custom_formats, (name_prefix or "data") + ".allow[{data__allow_x}].namespace".format(**locals()))
                        if "what" in data__allow_item_keys:
                            data__allow_item_keys.remove("what")
                            data__allow_item__what = data__allow_item["what"]
                            if not (isinstance(data__allow_item__what, str) and data__allow_item__what == '*' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'NodePort' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'LoadBalancer' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'ExternalIP' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'Route' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'HostNetwork' or isinstance(data__allow_item__what, str) and data__allow_item__what == 'HostPort'):
                                raise JsonSchemaValueException("" + (name_prefix or "data") + ".allow[{data__allow_x}].what".format(**locals()) + " must be one of ['*', 'NodePort', 'LoadBalancer', 'ExternalIP', 'Route', 'HostNetwork', 'HostPort']")
                        if data__allow_item_keys:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".allow[{data__allow_x}]".format(**locals()) + " must not contain "+str(data__allow_item_keys)+" properties")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_guaranteed(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "missing" in data_keys:
            data_keys.remove("missing")
            data__missing = data["missing"]
            if not (isinstance(data__missing, str) and data__missing == 'fill' or isinstance(data__missing, str) and data__missing == 'refuse'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".missing must be one of ['fill', 'refuse']")
        if "absent" in data_keys:
            data_keys.remove("absent")
            data__absent = data["absent"]
            if not (isinstance(data__absent, str) and data__absent == 'refuse' or isinstance(data__absent, str) and data__absent == 'set'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".absent must be one of ['refuse', 'set']")
        if "different" in data_keys:
            data_keys.remove("different")
            data__different = data["different"]
            if not (isinstance(data__different, str) and data__different == 'refuse' or isinstance(data__different, str) and data__different == 'limits' or isinstance(data__different, str) and data__different == 'requests'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".different must be one of ['refuse', 'limits', 'requests']")
        if "set" in data_keys:
            data_keys.remove("set")
            data__set = data["set"]
            if not isinstance(data__set, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".set must be object")
            data__set_is_dict = isinstance(data__set, dict)
            if data__set_is_dict:
                data__set_keys = set(data__set.keys())
                if "cpu" in data__set_keys:
                    data__set_keys.remove("cpu")
                    data__set__cpu = data__set["cpu"]
                    validate___definitions_quantity(data__set__cpu, custom_formats, (name_prefix or "data") + ".set.cpu")
                if "memory" in data__set_keys:
                    data__set_keys.remove("memory")
                    data__set__memory = data__set["memory"]
                    validate___definitions_quantity(data__set__memory, custom_formats, (name_prefix or "data") + ".set.memory")
                if data__set_keys:
                    raise JsonSchemaValueException("" + (name_prefix or "data") + ".set must not contain "+str(data__set_keys)+" properties")
        if "exclude" in data_keys:
            data_keys.remove("exclude")
            data__exclude = data["exclude"]
            if not isinstance(data__exclude, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude must be array")
            data__exclude_is_list = isinstance(data__exclude, (list, tuple))
            if data__exclude_is_list:
                data__exclude_len = len(data__exclude)
                for data__exclude_x, data__exclude_item in enumerate(data__exclude):
                    if not isinstance(data__exclude_item, (dict)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must be object")
                    data__exclude_item_is_dict = isinstance(data__exclude_item, dict)
                    if data__exclude_item_is_dict:
                        data__exclude_item_len = len(data__exclude_item)
                        if data__exclude_item_len < 1:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must contain at least 1 properties")
                        data__exclude_item_keys = set(data__exclude_item.keys())
                        if "kind" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("kind")
                            data__exclude_item__kind = data__exclude_item["kind"]
                            validate___definitions_glob(data__exclude_item__kind, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].kind".format(**locals()))
                        if "name" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("name")
                            data__exclude_item__name = data__exclude_item["name"]
                            validate___definitions_glob(data__exclude_item__name, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].name".format(**locals()))
                        if "namespace" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("namespace")
                            data__exclude_item__namespace = data__exclude_item["namespace"]
                            validate___definitions_glob(data__exclude_item__namespace, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].namespace".format(**locals()))
                        if "container" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("container")
                            data__exclude_item__container = data__exclude_item["container"]
                            validate___definitions_glob(data__exclude_item__container, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].container".format(**locals()))
                        if data__exclude_item_keys:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must not contain "+str(data__exclude_item_keys)+" properties")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    try:
        data_is_dict = isinstance(data, dict)
        if data_is_dict:
            data__missing_keys = set(['absent']) - data.keys()
            if data__missing_keys:
                raise JsonSchemaValueException("" + (name_prefix or "data") + " must contain ")
            data_keys = set(data.keys())
            if "absent" in data_keys:
                data_keys.remove("absent")
                data__absent = data["absent"]
                if not (isinstance(data__absent, str) and data__absent == 'set'):
                    raise JsonSchemaValueException("" + (name_prefix or "data") + ".absent must be one of ['set']")
    except (JsonSchemaValueException, JsonSchemaValuesException):
        pass
    else:
        data_is_dict = isinstance(data, dict)
        if data_is_dict:
            data__missing_keys = set(['set']) - data.keys()
            if data__missing_keys:
                raise JsonSchemaValueException("" + (name_prefix or "data") + " must contain ")
            data_keys = set(data.keys())
            if "set" in data_keys:
                data_keys.remove("set")
                data__set = data["set"]
                data__set_is_dict = isinstance(data__set, dict)
                if data__set_is_dict:
                    data__set__missing_keys = set(['cpu', 'memory']) - data__set.keys()
                    if data__set__missing_keys:
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".set must contain ")
    return data

def validate___definitions_quantity(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (str, int, float, Decimal)) or isinstance(data, bool):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be string or number")
    if isinstance(data, str):
        if not REGEX_PATTERNS['^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[numkMGTPE])?$'].search(data):
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must match pattern ^[0-9]+(\\.[0-9]+)?([KMGTPE]i|[numkMGTPE])?$")
    if isinstance(data, (int, float, Decimal)) and not isinstance(data, bool):
        if data <= 0:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must be bigger than 0")
    return data

def validate___definitions_images(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "mirrors" in data_keys:
            data_keys.remove("mirrors")
            data__mirrors = data["mirrors"]
            if not isinstance(data__mirrors, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".mirrors must be object")
            data__mirrors_is_dict = isinstance(data__mirrors, dict)
            if data__mirrors_is_dict:
                data__mirrors_keys = set(data__mirrors.keys())
                for data__mirrors_key in data__mirrors_keys:
                    if data__mirrors_key not in []:
                        data__mirrors_value = data__mirrors.get(data__mirrors_key)
                        if not isinstance(data__mirrors_value, (str)):
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".mirrors.{data__mirrors_key}".format(**locals()) + " must be string")
                        if isinstance(data__mirrors_value, str):
                            if not REGEX_PATTERNS['^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$'].search(data__mirrors_value):
                                raise JsonSchemaValueException("" + (name_prefix or "data") + ".mirrors.{data__mirrors_key}".format(**locals()) + " must match pattern ^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$")
                data__mirrors_len = len(data__mirrors)
                if data__mirrors_len != 0:
                    data__mirrors_property_names = True
                    for data__mirrors_key in data__mirrors:
                        try:
                            if isinstance(data__mirrors_key, str):
                                if not REGEX_PATTERNS['^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$'].search(data__mirrors_key):
                                    raise JsonSchemaValueException("" + (name_prefix or "data") + ".mirrors must match pattern ^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$")
                        except (JsonSchemaValueException, JsonSchemaValuesException):
                            data__mirrors_property_names = False
                    if not data__mirrors_property_names:
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".mirrors must be named by propertyName definition")
        if "lock" in data_keys:
            data_keys.remove("lock")
            data__lock = data["lock"]
            if not isinstance(data__lock, (str)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".lock must be string")
        if "latest" in data_keys:
            data_keys.remove("latest")
            data__latest = data["latest"]
            validate___definitions_policy(data__latest, custom_formats, (name_prefix or "data") + ".latest")
        if "unpinned" in data_keys:
            data_keys.remove("unpinned")
            data__unpinned = data["unpinned"]
            validate___definitions_policy(data__unpinned, custom_formats, (name_prefix or "data") + ".unpinned")
        if "unmirrored" in data_keys:
            data_keys.remove("unmirrored")
            data__unmirrored = data["unmirrored"]
            validate___definitions_policy(data__unmirrored, custom_formats, (name_prefix or "data") + ".unmirrored")
        if "exclude" in data_keys:
            data_keys.remove("exclude")
            data__exclude = data["exclude"]
            if not isinstance(data__exclude, (list, tuple)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude must be array")
            data__exclude_is_list = isinstance(data__exclude, (list, tuple))
            if data__exclude_is_list:
                data__exclude_len = len(data__exclude)
                for data__exclude_x, data__exclude_item in enumerate(data__exclude):
                    if not isinstance(data__exclude_item, (dict)):
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must be object")
                    data__exclude_item_is_dict = isinstance(data__exclude_item, dict)
                    if data__exclude_item_is_dict:
                        data__exclude_item_len = len(data__exclude_item)
                        if data__exclude_item_len < 1:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must contain at least 1 properties")
                        data__exclude_item_keys = set(data__exclude_item.keys())
                        if "kind" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("kind")
                            data__exclude_item__kind = data__exclude_item["kind"]
                            validate___definitions_glob(data__exclude_item__kind, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].kind".format(**locals()))
                        if "name" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("name")
                            data__exclude_item__name = data__exclude_item["name"]
                            validate___definitions_glob(data__exclude_item__name, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].name".format(**locals()))
                        if "namespace" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("namespace")
                            data__exclude_item__namespace = data__exclude_item["namespace"]
                            validate___definitions_glob(data__exclude_item__namespace, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].namespace".format(**locals()))
                        if "path" in data__exclude_item_keys:
                            data__exclude_item_keys.remove("path")
                            data__exclude_item__path = data__exclude_item["path"]
                            validate___definitions_glob(data__exclude_item__path, custom_formats, (name_prefix or "data") + ".exclude[{data__exclude_x}].path".format(**locals()))
                        if data__exclude_item_keys:
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".exclude[{data__exclude_x}]".format(**locals()) + " must not contain "+str(data__exclude_item_keys)+" properties")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_policy(data, custom_formats={}, name_prefix=None):
    if not (isinstance(data, str) and data == 'refuse' or isinstance(data, str) and data == 'warn' or isinstance(data, str) and data == 'note' or isinstance(data, str) and data == 'allow'):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be one of ['refuse', 'warn', 'note', 'allow']")
    return data

def validate___definitions_labels(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data_keys = set(data.keys())
        if "enabled" in data_keys:
            data_keys.remove("enabled")
            data__enabled = data["enabled"]
            validate___definitions_enabled(data__enabled, custom_formats, (name_prefix or "data") + ".enabled")
        if "labels" in data_keys:
            data_keys.remove("labels")
            data__labels = data["labels"]
            if not isinstance(data__labels, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".labels must be object")
            data__labels_is_dict = isinstance(data__labels, dict)
            if data__labels_is_dict:
                data__labels_keys = set(data__labels.keys())
                for data__labels_key in data__labels_keys:
                    if data__labels_key not in []:
                        data__labels_value = data__labels.get(data__labels_key)
                        if not isinstance(data__labels_value, (str)):
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".labels.{data__labels_key}".format(**locals()) + " must be string")
                        if isinstance(data__labels_value, str):
                            if not REGEX_PATTERNS['^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$'].search(data__labels_value):
                                raise JsonSchemaValueException("" + (name_prefix or "data") + ".labels.{data__labels_key}".format(**locals()) + " must match pattern ^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")
                data__labels_len = len(data__labels)
                if data__labels_len != 0:
                    data__labels_property_names = True
                    for data__labels_key in data__labels:
                        try:
                            validate___definitions_labelkey(data__labels_key, custom_formats, (name_prefix or "data") + ".labels")
                        except (JsonSchemaValueException, JsonSchemaValuesException):
                            data__labels_property_names = False
                    if not data__labels_property_names:
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".labels must be named by propertyName definition")
        if "annotations" in data_keys:
            data_keys.remove("annotations")
            data__annotations = data["annotations"]
            if not isinstance(data__annotations, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".annotations must be object")
            data__annotations_is_dict = isinstance(data__annotations, dict)
            if data__annotations_is_dict:
                data__annotations_keys = set(data__annotations.keys())
                for data__annotations_key in data__annotations_keys:
                    if data__annotations_key not in []:
                        data__annotations_value = data__annotations.get(data__annotations_key)
                        if not isinstance(data__annotations_value, (str)):
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".annotations.{data__annotations_key}".format(**locals()) + " must be string")
                data__annotations_len = len(data__annotations)
                if data__annotations_len != 0:
                    data__annotations_property_names = True
                    for data__annotations_key in data__annotations:
                        try:
                            validate___definitions_labelkey(data__annotations_key, custom_formats, (name_prefix or "data") + ".annotations")
                        except (JsonSchemaValueException, JsonSchemaValuesException):
                            data__annotations_property_names = False
                    if not data__annotations_property_names:
                        raise JsonSchemaValueException("" + (name_prefix or "data") + ".annotations must be named by propertyName definition")
        if "templates" in data_keys:
            data_keys.remove("templates")
            data__templates = data["templates"]
            if not isinstance(data__templates, (bool)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".templates must be boolean")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data

def validate___definitions_labelkey(data, custom_formats={}, name_prefix=None):
    try:
        if isinstance(data, str):
            if not REGEX_PATTERNS['^(meta\\.helm\\.sh|helm\\.sh|postrenderer\\.helm\\.sh)/'].search(data):
                raise JsonSchemaValueException("" + (name_prefix or "data") + " must match pattern ^(meta\\.helm\\.sh|helm\\.sh|postrenderer\\.helm\\.sh)/")
    except (JsonSchemaValueException, JsonSchemaValuesException): pass
    else:
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must NOT match a disallowed definition")
    if isinstance(data, str):
        if not REGEX_PATTERNS['^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'].search(data):
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must match pattern ^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
    return data
