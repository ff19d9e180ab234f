"""refseg_ros: camera images and an instruction in; masks, explicit rejections and 3-D objects out."""

from pkgutil import extend_path

# refseg_ros.msg, .srv and .action are generated and may live in another install prefix.
__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
