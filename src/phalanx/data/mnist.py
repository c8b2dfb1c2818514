"""MNIST, Fashion-MNIST and Kuzushiji-MNIST: 60,000 training and 10,000 test images, 28 × 28 grey pixels, 10 classes."""

from dataclasses import dataclass
from typing import ClassVar

from phalanx.data.idx import IdxImages


@dataclass(frozen=True, kw_only=True)
class Mnist(IdxImages):
    """Handwritten digits (LeCun, Cortes and Burges)."""

    name: ClassVar[str] = "mnist"
    torchvision_name: ClassVar[str] = "MNIST"
    labels: ClassVar[tuple[str, ...]] = tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class FashionMnist(IdxImages):
    """Articles of clothing (Xiao, Rasul and Vollgraf, 2017)."""

    name: ClassVar[str] = "fashion_mnist"
    torchvision_name: ClassVar[str] = "FashionMNIST"
    labels: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kmnist(IdxImages):
    """Cursive hiragana (Clanuwat et al., 2018), one character per row of the syllabary."""

    name: ClassVar[str] = "kmnist"
    torchvision_name: ClassVar[str] = "KMNIST"
    labels: ClassVar[tuple[str, ...]] = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
