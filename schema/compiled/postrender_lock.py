# Written by `python -m schema` from schema/postrender.lock.schema.yaml: never by hand.
# mypy: ignore-errors
VERSION = "2.22.3"
from decimal import Decimal
import re
from schema.compiled import MismatchError as JsonSchemaValueException

JsonSchemaValuesException = JsonSchemaValueException


REGEX_PATTERNS = {
    '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$': re.compile('^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\\Z')
}

NoneType = type(None)

def validate(data, custom_formats={}, name_prefix=None):
    if not isinstance(data, (dict)):
        raise JsonSchemaValueException("" + (name_prefix or "data") + " must be object")
    data_is_dict = isinstance(data, dict)
    if data_is_dict:
        data__missing_keys = set(['apiVersion', 'kind', 'images']) - data.keys()
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
            if not (isinstance(data__kind, str) and data__kind == 'ImageLock'):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".kind must be one of ['ImageLock']")
        if "images" in data_keys:
            data_keys.remove("images")
            data__images = data["images"]
            if not isinstance(data__images, (dict)):
                raise JsonSchemaValueException("" + (name_prefix or "data") + ".images must be object")
            data__images_is_dict = isinstance(data__images, dict)
            if data__images_is_dict:
                data__images_keys = set(data__images.keys())
                for data__images_key in data__images_keys:
                    if data__images_key not in []:
                        data__images_value = data__images.get(data__images_key)
                        if not isinstance(data__images_value, (str)):
                            raise JsonSchemaValueException("" + (name_prefix or "data") + ".images.{data__images_key}".format(**locals()) + " must be string")
                        if isinstance(data__images_value, str):
                            if not REGEX_PATTERNS['^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'].search(data__images_value):
                                raise JsonSchemaValueException("" + (name_prefix or "data") + ".images.{data__images_key}".format(**locals()) + " must match pattern ^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
        if data_keys:
            raise JsonSchemaValueException("" + (name_prefix or "data") + " must not contain "+str(data_keys)+" properties")
    return data
